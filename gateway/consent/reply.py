"""The verdict on a parent's reply. Consent is never guessed.

The steps, on the decoded text with its segments joined:

1. ``№`` and ``♯`` become ``#``, before NFKC would make № "No"; then NFKC is applied.
2. Format characters are dropped. Runs of white space and control characters become one space, digits of any script
   become ASCII, letters become lower case. An empty result is *empty*.
3. Every ``3#1`` and ``3#2`` is matched, also with a space before or after the ``#``, with look-alike letters, or
   with another ``#`` at the end; not inside a longer word or number.
4. The residue is the text without the matches, spaces, quotes, brackets and punctuation. A question mark stays.
5. If all matches have one value, and the residue is empty or has the same meaning in words: *agree* or *refuse*.
6. If the text is only another service's pattern, ``R`` and digits, or 4–8 digits: *other*. Else: *unclear*.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache

from gateway.limits import MAX_REPLY_CHARACTERS

_MAX_DIGITS = 6
"""The longest service code or reply code: bounds the time in which a text is searched."""
RULE_VERSION = "1"
"""Stored with each verdict; incremented with every change of the reading rules."""


class Verdict(StrEnum):
    """The meaning of a reply: the parent agrees or refuses, or one of three others."""

    AGREE = "agree"
    REFUSE = "refuse"
    UNCLEAR = "unclear"
    OTHER = "other"  # a reply to another service at the same short code
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A verdict; ``normalised`` marks one that is not literally in the text.

    It needed more than dropping spaces, quotes, brackets, punctuation and format characters: another digit or
    sign, a look-alike letter, a trailing ``#``, or a word with the same meaning.
    """

    verdict: Verdict
    normalised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRules:
    """The code and answers of a service, in ASCII digits: ``3``, ``1`` and ``2`` for ``3#1`` and ``3#2``.

    With ``strict``, a verdict that would be ``normalised`` is *unclear*. Raises ValueError when one of the three
    is no number of up to 6 digits, or when both answers are equal.
    """

    service: str
    agree: str
    refuse: str
    strict: bool

    def __post_init__(self) -> None:
        for code in (self.service, self.agree, self.refuse):
            if not (code.isascii() and code.isdigit() and len(code) <= _MAX_DIGITS):
                raise ValueError(f"not a number: {code!r}")
        if self.agree == self.refuse:
            raise ValueError(f"one value for both answers: {self.agree!r}")


_MAX_COMPATIBLE = 2 * MAX_REPLY_CHARACTERS
"""Characters after NFKC of which the reading goes on; what is dropped then is hardly half of them."""
_CACHED_CHARACTERS = 4_096
_NUMBER_SIGNS = str.maketrans("№♯", "##")
_KEYCAP = "\u20e3"  # combining enclosing keycap: dropped like format characters, although it is visible
_VARIATION_SELECTORS = "\ufe0e\ufe0f"
_LOOK_ALIKES = {"3": "[3з]", "1": "[1iіl|]"}  # Cyrillic з; Latin i, Cyrillic і, Latin l
_IGNORED = " \"'«»“”„‘’`()[]{}<>.,!;:…-–—"  # does not change the meaning; "?" does
_WITHOUT_IGNORED = str.maketrans("", "", _IGNORED)
_WORDS_WITH_SAME_MEANING = {
    # "ок" in Cyrillic and in Latin
    Verdict.AGREE: frozenset(
        ["иә", "ия", "да", "ок", "ok", "рахмет", "рақмет", "спасибо", "келісемін", "согласен", "согласна"]
    ),
    # "керек емес", "не надо", "бас тартамын": spaces are ignored
    Verdict.REFUSE: frozenset(["жоқ", "нет", "керекемес", "ненадо", "отказываюсь", "бастартамын"]),
}
_OTHER = re.compile(r"(?P<code>[0-9]+) ?# ?[0-9]+|r ?[0-9][0-9 ]*|[0-9]{4,8}")


def read_reply(text: str | None, rules: ReplyRules) -> Reading:
    """The verdict on a reply by SMS; `text` None, for octets that do not decode, is unclear."""
    if text is None:
        return Reading(verdict=Verdict.UNCLEAR)
    folded = _fold(text)
    if not folded:
        return Reading(verdict=Verdict.EMPTY)
    if len(folded) > MAX_REPLY_CHARACTERS:  # one character may be many after NFKC
        return Reading(verdict=Verdict.UNCLEAR)
    pattern = _pattern(rules)
    values = {Verdict(str(match.lastgroup)) for match in pattern.finditer(folded)}
    if len(values) == 1:
        (answer,) = values
        residue = pattern.sub("", folded).translate(_WITHOUT_IGNORED)
        if not residue or residue in _WORDS_WITH_SAME_MEANING[answer]:
            normalised = not _is_plain(text, answer, rules)
            if normalised and rules.strict:
                return Reading(verdict=Verdict.UNCLEAR)
            return Reading(verdict=answer, normalised=normalised)
    elif not values:
        other = _OTHER.fullmatch(folded.strip(_IGNORED))
        if other and other["code"] != rules.service:
            return Reading(verdict=Verdict.OTHER)
    return Reading(verdict=Verdict.UNCLEAR)


def read_menu_reply(text: str | None, rules: ReplyRules) -> Reading:
    """The verdict on a reply to the service's USSD menu: an answer's digit or the whole of it, else unclear."""
    folded = _fold(text) if text is not None else ""
    for verdict, digit in ((Verdict.AGREE, rules.agree), (Verdict.REFUSE, rules.refuse)):
        if folded == digit:
            normalised = digit not in (text or "")
            if normalised and rules.strict:
                break
            return Reading(verdict=verdict, normalised=normalised)
    whole = read_reply(text, rules)
    return whole if whole.verdict in (Verdict.AGREE, Verdict.REFUSE) else Reading(verdict=Verdict.UNCLEAR)


def _fold(text: str) -> str:
    """The text after steps 1 and 2."""
    compatible = unicodedata.normalize("NFKC", text.translate(_NUMBER_SIGNS))
    if len(compatible) > _MAX_COMPATIBLE:
        return compatible
    return " ".join("".join(map(_folded_character, compatible)).split()).casefold()


@lru_cache(maxsize=_CACHED_CHARACTERS)
def _folded_character(character: str) -> str:
    match unicodedata.category(character):
        case "Cf":  # zero-width characters, byte order mark, soft hyphen
            return ""
        case "Cc":
            return " "
        case "Nd":
            return str(unicodedata.decimal(character))
    return "" if character == _KEYCAP or character in _VARIATION_SELECTORS else character


@cache
def _pattern(rules: ReplyRules) -> re.Pattern[str]:
    """Matches the service's answers in a folded text; the matching group has the name of its verdict."""
    service, agree, refuse = (
        "".join(_LOOK_ALIKES.get(digit, digit) for digit in code)
        for code in (rules.service, rules.agree, rules.refuse)
    )
    alphanumeric = r"[^\W_]"
    return re.compile(
        rf"(?<!{alphanumeric})(?<![#*])"
        rf"{service} ?# ?(?:(?P<agree>{agree})|(?P<refuse>{refuse}))(?!{alphanumeric}|\|)"
        r"#?(?![0-9#*])"
    )


def _is_plain(text: str, answer: Verdict, rules: ReplyRules) -> bool:
    """Whether the text without ignored characters is literally the answer, as the question asks for it."""
    kept = "".join(character for character in text if not _is_ignored(character))
    typed = f"{rules.service}#{rules.agree if answer is Verdict.AGREE else rules.refuse}"
    return kept.replace(typed, "") == ""


@lru_cache(maxsize=_CACHED_CHARACTERS)
def _is_ignored(character: str) -> bool:
    return character != _KEYCAP and not _fold(character).translate(_WITHOUT_IGNORED)
