"""The rules for any text of a reply: it has a verdict, and consent is never guessed."""

import re
import unicodedata
from dataclasses import replace
from typing import Final

from gateway.consent.reply import Reading, ReplyRules, Verdict, read_menu_reply, read_reply
from gateway.limits import MAX_REPLY_CHARACTERS

LENIENT: Final = ReplyRules(service="3", agree="1", refuse="2", strict=False)
STRICT: Final = replace(LENIENT, strict=True)
OPPOSITE: Final = {Verdict.AGREE: "3#2", Verdict.REFUSE: "3#1"}
ANSWERS: Final = tuple(OPPOSITE)
WORDS: Final = tuple(
    word.encode()
    for word in (
        "3#1", "3#2", "3 # 1", "#", "*", "|", "?", "№", "♯", "\u0417", "\u0406", "l", "I", "٣", "１", "\u20e3",
        "\ufe0f", "\u200b", "\u00ad", "\ufeff", "\u00a0", "\u2028", "\u0301", "\u1161", "\ufdfa", "\0", "\n",
        "иә", "да", "рахмет", "жоқ", "керек емес", "не надо", "не", "R 1 1", "5#1", "1234", "ſ", "ß", "İ", "«",
        "…",
    )
)  # fmt: skip
_AGREED: Final = re.compile("[зilі]*(?:иә|ия|да|ок|ok|рахмет|рақмет|спасибо|келісемін|согласен|согласна)?[зilі]*")
_REFUSED: Final = re.compile("[з]*(?:жоқ|нет|керекемес|ненадо|отказываюсь|бастартамын)?[з]*")


def probe(octets: bytes) -> None:
    """Reads the octets as a text in UTF-8 and in UTF-16. Raises AssertionError, or what the reading raised."""
    for coding in ("utf-8", "utf-16-be"):
        text = octets.decode(coding, "ignore")
        _check(text, read_reply(text, LENIENT), read_reply(text, STRICT))
        for read in (read_menu_reply(text, LENIENT), read_menu_reply(text, STRICT)):
            assert read.verdict in (*ANSWERS, Verdict.UNCLEAR)
    assert read_reply(None, LENIENT) == Reading(verdict=Verdict.UNCLEAR)


def _check(text: str, lenient: Reading, strict: Reading) -> None:
    assert not strict.normalised
    assert strict == lenient or (lenient.normalised and strict.verdict is Verdict.UNCLEAR)
    if lenient.verdict not in ANSWERS:
        return
    _is_not_guessed(text, lenient.verdict)
    if len(text) < MAX_REPLY_CHARACTERS / 2:
        assert read_reply(text + "!", LENIENT).verdict is lenient.verdict
    for more in (" " + OPPOSITE[lenient.verdict], " емес", " 4", "?"):
        assert read_reply(text + more, LENIENT).verdict is Verdict.UNCLEAR, more


def _is_not_guessed(text: str, verdict: Verdict) -> None:
    """By other means than the reading's: nothing in the text contradicts the answer, or is another word."""
    plain = unicodedata.normalize("NFKC", text.replace("№", "#").replace("♯", "#")).casefold()
    assert len(text) <= 2 * MAX_REPLY_CHARACTERS, "a text so long was read"
    digits = {unicodedata.decimal(character) for character in plain if character.isdecimal()}
    assert digits <= ({3, 1} if verdict is Verdict.AGREE else {3, 2})
    assert "?" not in plain
    assert "#" in plain
    letters = "".join(filter(str.isalpha, plain))
    assert (_AGREED if verdict is Verdict.AGREE else _REFUSED).fullmatch(letters), letters
