"""The templates of texts and USSD screens: parsed, checked and rendered.

The order defines three texts. The gateway adds the clarification of unclear replies and the screens of a USSD
dialogue. Screens are short and have the answers as bare digits, ``{yes}`` and ``{no}``.

Each text and language is one file, like ``request.kk.txt``: UTF-8, one line per paragraph. The newline at its end
is not part of the text. config/templates.py reads the files.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

TEXTS = ("request", "refused", "agreed", "clarify")
SCREENS = ("menu", "menu_agreed", "menu_refused", "menu_nothing", "menu_invalid")
NAMES = (*TEXTS, *SCREENS)
LANGUAGES = ("kk", "ru")
PLACEHOLDERS = frozenset({"recipient", "pupil", "link", "agree", "refuse"})
SCREEN_PLACEHOLDERS = frozenset({"agree", "refuse", "yes", "no"})
SCREEN_UNITS, SCREEN_SEPTETS = 80, 182
"""The capacity of one USSD screen, 160 octets, in UCS-2 units and in GSM septets (3GPP 24.090, 23.038 §5)."""
_LONGEST_CODES = ("123456", "1", "2")  # service, agree, refuse; as long as the configuration allows
_ONE_SEPTET_EACH = re.compile("[\n -Z_a-z]*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CACHED_TEMPLATES = 256


class Kind(StrEnum):
    """The purpose of a text or screen. A repeat has the body of the request."""

    REQUEST = "request"
    REPEAT = "repeat"
    AGREED = "agreed"
    REFUSED = "refused"
    CLARIFY = "clarify"
    # screens of a USSD dialogue
    MENU = "menu"
    MENU_AGREED = "menu_agreed"
    MENU_REFUSED = "menu_refused"
    MENU_NOTHING = "menu_nothing"
    MENU_INVALID = "menu_invalid"


class TemplateError(ValueError):
    """A template that cannot be used. The message is the reason; config/templates.py adds the name of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The body of a text with its placeholders, in NFC, and its version in evidence."""

    name: str
    language: str
    body: str
    version: str  # first 12 hex digits of the SHA-256 of the body in UTF-8


class Name(NamedTuple):
    """A person's name, in the order of the texts."""

    surname: str
    given_name: str
    patronymic: str | None

    @property
    def full(self) -> str:
        """All parts, separated by spaces."""
        return " ".join(filter(None, self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A rendered text, in NFC, and the version of its template.

    `fields` are what fills the placeholders, by name, where to replace each of them in any order makes the body.
    """

    body: str
    template: str
    fields: Mapping[str, str] | None


class Templates:
    """The templates of one service in all languages."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = {(template.name, template.language): template for template in templates}

    def all(self) -> Iterable[Template]:
        """All templates."""
        return self._templates.values()

    def render(
        self,
        kind: Kind,
        language: str,
        *,
        recipient: Name,
        pupil: Name,
        link: str,
        service: str,
        agree: str,
        refuse: str,
    ) -> Text:
        """The text to send. `service`, `agree` and `refuse` are bare codes: 3, 1 and 2 for ``3#1`` and ``3#2``."""
        template = self._templates[Kind.REQUEST if kind is Kind.REPEAT else kind, language]
        values = {
            "recipient": recipient.full,
            "pupil": pupil.full,
            "link": link,
            **_codes(service, agree, refuse),
        }
        return _filled(template, values)

    def screen(self, kind: Kind, language: str, *, service: str, agree: str, refuse: str) -> Text:
        """The USSD screen to show; the codes as for `render`."""
        return _filled(self._templates[kind, language], _codes(service, agree, refuse))


def _codes(service: str, agree: str, refuse: str) -> dict[str, str]:
    return {"agree": f"{service}#{agree}", "refuse": f"{service}#{refuse}", "yes": agree, "no": refuse}


def filled(body: str, values: Mapping[str, str]) -> str:
    """The body of a template with the values, by name, in place of its placeholders.

    One pass over the template: a name with braces in it is not substituted again.
    """
    return "".join([values[piece] if place % 2 else piece for place, piece in enumerate(_pieces(body))])


def _filled(template: Template, values: Mapping[str, str]) -> Text:
    names = set(_pieces(template.body)[1::2])
    made = filled(template.body, values)
    body = unicodedata.normalize("NFC", made)
    fields = {name: values[name] for name in sorted(names)}
    exact = body == made and not any("{" in value for value in fields.values())
    return Text(body=body, template=template.version, fields=fields if exact else None)


@lru_cache(maxsize=_CACHED_TEMPLATES)
def _pieces(template: str) -> tuple[str, ...]:
    """The template in pieces: text, the name of a placeholder, text, and so on."""
    return tuple(_PLACEHOLDER.split(template))


def parse_template(name: str, language: str, content: str) -> Template:
    """The template in the content of a file; raises TemplateError when it cannot be used."""
    body = unicodedata.normalize("NFC", content).removesuffix("\n")
    if not body.strip():
        raise TemplateError("is empty")
    known = SCREEN_PLACEHOLDERS if name in SCREENS else PLACEHOLDERS
    for placeholder in _PLACEHOLDER.findall(body):
        if placeholder not in known:
            raise TemplateError(f"unknown placeholder {{{placeholder}}}")
    if re.search("[{}]", _PLACEHOLDER.sub("", body)):
        raise TemplateError("a brace that belongs to no placeholder")
    template = Template(name=name, language=language, body=body, version=sha256(body.encode()).hexdigest()[:12])
    if name in SCREENS and not _fits_one_screen(_filled(template, _codes(*_LONGEST_CODES)).body):
        raise TemplateError(
            f"does not fit one USSD screen: {SCREEN_UNITS} UCS-2 units, or {SCREEN_SEPTETS} septets"
        )
    return template


def _fits_one_screen(text: str) -> bool:
    if _ONE_SEPTET_EACH.fullmatch(text):
        return len(text) <= SCREEN_SEPTETS
    return len(text.encode("utf-16-be")) // 2 <= SCREEN_UNITS
