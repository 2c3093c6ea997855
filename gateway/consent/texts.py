"""The texts of the order, and one of our own for replies nobody can read, from files to what goes on the air.

A directory holds one file for each text and language, like ``request.kk.txt``: UTF-8, one line for each
paragraph. A newline at its end is not part of the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

PACKAGE_TEMPLATES = Path(__file__).parent.parent / "templates"
"""The package's own templates, a directory for each service's name."""

NAMES = ("request", "refused", "agreed", "clarify")
LANGUAGES = ("kk", "ru")
PLACEHOLDERS = frozenset({"recipient", "pupil", "link", "agree", "refuse"})
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Kind(StrEnum):
    """What a text is sent for. The repeat is the request's text once more."""

    REQUEST = "request"
    REPEAT = "repeat"
    AGREED = "agreed"
    REFUSED = "refused"
    CLARIFY = "clarify"


class TemplateError(Exception):
    """A template that cannot be used; the message begins with its file. Somebody has to mend that."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with its placeholders, NFC, and the version that evidence names it by."""

    name: str
    language: str
    body: str
    version: str  # first 12 hex digits of the SHA-256 of the body in UTF-8


class Name(NamedTuple):
    """A person's name, in the order in which the texts have it."""

    surname: str
    given_name: str
    patronymic: str | None

    @property
    def full(self) -> str:
        return " ".join(filter(None, self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What goes on the air, NFC, and the version of its template."""

    body: str
    template: str


class Templates:
    """All texts of one service in all languages, ready to be filled in."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = {(template.name, template.language): template for template in templates}

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The templates of that directory. Raises TemplateError for one missing, unreadable or misspelt."""
        return cls(_read(directory, name, language) for name in NAMES for language in LANGUAGES)

    def all(self) -> Iterable[Template]:
        """Every template as it was loaded."""
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
        """The text to send. The last three are bare codes: 3, 1 and 2 for ``3#1`` and ``3#2``."""
        template = self._templates[Kind.REQUEST if kind is Kind.REPEAT else kind, language]
        values = {
            "recipient": recipient.full,
            "pupil": pupil.full,
            "link": link,
            "agree": f"{service}#{agree}",
            "refuse": f"{service}#{refuse}",
        }
        # One pass over the template alone: a brace in somebody's name stays a brace.
        body = _PLACEHOLDER.sub(lambda placeholder: values[placeholder[1]], template.body)
        return Text(body=unicodedata.normalize("NFC", body), template=template.version)


def _read(directory: Path, name: str, language: str) -> Template:
    file = directory / f"{name}.{language}.txt"
    try:
        content = file.read_text(encoding="utf-8-sig")  # some editors put a byte order mark
    except OSError as error:
        raise TemplateError(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise TemplateError(file, "is not UTF-8") from error
    body = unicodedata.normalize("NFC", content).removesuffix("\n")
    if not body.strip():
        raise TemplateError(file, "is empty")
    for placeholder in _PLACEHOLDER.findall(body):
        if placeholder not in PLACEHOLDERS:
            raise TemplateError(file, f"unknown placeholder {{{placeholder}}}")
    if re.search("[{}]", _PLACEHOLDER.sub("", body)):
        raise TemplateError(file, "a brace that belongs to no placeholder")
    return Template(name=name, language=language, body=body, version=sha256(body.encode()).hexdigest()[:12])
