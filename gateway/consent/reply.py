"""What a parent's reply says. Consent is never guessed.

The steps, on the decoded text with its segments joined:

1. ``№`` and ``♯`` are ``#``, before NFKC makes № "No"; then NFKC.
2. What is invisible goes; white space and control characters become single spaces, digits of any script
   ASCII, letters lower case. Nothing left: *empty*.
3. Every ``3#1`` and ``3#2`` is found, be it with a space on either side of its ``#``, with look-alike letters
   or with one more ``#`` behind it, unless it is a piece of something longer.
4. The residue is the rest, less spaces, quotes, brackets and punctuation. A question mark stays.
5. One value only, and a residue that is empty or says the same in words: *agree* or *refuse*.
6. Nothing but another service's pattern, ``R`` and digits, or 4–8 digits: *other*. Anything else: *unclear*.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

_MAX_DIGITS = 6  # a text is searched in time that grows with them
RULE_VERSION = "1"  # recorded with each verdict; grows with every change of what is read from a text


class Verdict(StrEnum):
    """What a reply says."""

    AGREE = "agree"
    REFUSE = "refuse"
    UNCLEAR = "unclear"
    OTHER = "other"  # meant for somebody else on the same number
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A verdict; ``normalised`` marks an answer that had to be read into the text.

    That is one that needed more than dropping spaces, quotes, brackets, punctuation and invisible characters:
    another digit or sign, a look-alike letter, a trailing ``#``, a concordant word.
    """

    verdict: Verdict
    normalised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRules:
    """One service's code and answers, in ASCII digits: ``3``, ``1`` and ``2`` for ``3#1`` and ``3#2``.

    ``strict`` makes unclear what would be an answer marked ``normalised``. Raises ValueError when one of the
    three is no number of up to 6 digits or both answers are the same.
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


_NUMBER_SIGNS = str.maketrans("№♯", "##")
_KEYCAP = "\u20e3"  # combining enclosing keycap: dropped like the invisible ones, but it is a sign one sees
_VARIATION_SELECTORS = "\ufe0e\ufe0f"
_LOOK_ALIKES = {"3": "[3з]", "1": "[1iіl|]"}  # Cyrillic з; Latin i, Cyrillic і, Latin l
_SILENT = " \"'«»“”„‘’`()[]{}<>.,!;:…-–—"  # says nothing around an answer; "?" would
_WITHOUT_SILENT = str.maketrans("", "", _SILENT)
_WORDS = {
    # "ок" in Cyrillic and in Latin
    Verdict.AGREE: frozenset(
        ["иә", "ия", "да", "ок", "ok", "рахмет", "рақмет", "спасибо", "келісемін", "согласен", "согласна"]
    ),
    # "керек емес", "не надо", "бас тартамын": spaces are silent
    Verdict.REFUSE: frozenset(["жоқ", "нет", "керекемес", "ненадо", "отказываюсь", "бастартамын"]),
}
_OTHER = re.compile(r"(?P<code>[0-9]+) ?# ?[0-9]+|r ?[0-9][0-9 ]*|[0-9]{4,8}")


def read_reply(text: str | None, rules: ReplyRules) -> Reading:
    """What the text says to the service's question. None, for octets that do not decode, is unclear."""
    if text is None:
        return Reading(verdict=Verdict.UNCLEAR)
    folded = _fold(text)
    if not folded:
        return Reading(verdict=Verdict.EMPTY)
    pattern = _pattern(rules)
    values = {Verdict(str(match.lastgroup)) for match in pattern.finditer(folded)}
    if len(values) == 1:
        (answer,) = values
        residue = pattern.sub("", folded).translate(_WITHOUT_SILENT)
        if not residue or residue in _WORDS[answer]:
            normalised = not _is_plain(text, answer, rules)
            if normalised and rules.strict:
                return Reading(verdict=Verdict.UNCLEAR)
            return Reading(verdict=answer, normalised=normalised)
    elif not values:
        other = _OTHER.fullmatch(folded.strip(_SILENT))
        if other and other["code"] != rules.service:
            return Reading(verdict=Verdict.OTHER)
    return Reading(verdict=Verdict.UNCLEAR)


def read_menu_answer(text: str | None, rules: ReplyRules) -> Reading:
    """What was typed at a menu of the service, which is known there: its bare digit, or nothing that counts."""
    folded = _fold(text) if text is not None else ""
    for verdict, digit in ((Verdict.AGREE, rules.agree), (Verdict.REFUSE, rules.refuse)):
        if folded == digit:
            normalised = digit not in (text or "")
            if normalised and rules.strict:
                break
            return Reading(verdict=verdict, normalised=normalised)
    return Reading(verdict=Verdict.UNCLEAR)


def _fold(text: str) -> str:
    """The text after steps 1 and 2."""
    compatible = unicodedata.normalize("NFKC", text.translate(_NUMBER_SIGNS))
    return " ".join("".join(map(_folded_character, compatible)).split()).casefold()


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
    """Finds the service's answers in a folded text; the group that matched is named after its verdict."""
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
    """Whether the text is the answer as it was asked for, once its silent characters are dropped."""
    kept = "".join(
        character for character in text if character == _KEYCAP or _fold(character).translate(_WITHOUT_SILENT)
    )
    typed = f"{rules.service}#{rules.agree if answer is Verdict.AGREE else rules.refuse}"
    return kept.replace(typed, "") == ""
