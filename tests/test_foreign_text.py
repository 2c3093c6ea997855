"""Everything that matches foreign text takes time linear in it: each is fed 64 KiB of its worst letters.

At this length, whatever is quadratic takes minutes. The limit is of CPU time: a loaded machine changes nothing.
"""

import json
from collections.abc import Callable
from itertools import product

import pytest

from gateway.api.cases import MAX_REASON_LENGTH
from gateway.consent.identity import canonical_msisdn, iin_fault
from gateway.consent.reply import ReplyRules, read_menu_reply, read_reply
from gateway.intake.duplicate_keys import duplicate_keys
from gateway.intake.records import read_record
from gateway.limits import MAX_LOGGED_CHARACTERS, MAX_REPLY_CHARACTERS
from gateway.logs.redaction import masked_message, masked_text, without_numbers
from gateway.smpp.pdu import CommandId, decode_bind_resp, decode_short_message
from gateway.smpp.receipt import parse_receipt
from gateway.smpp.ussd import dialled_service
from tests.smpp.smpplib_codec import smpplib_encode

CPU_LINES = 20
"""Lines of 60 KB of a list, of each kind two times as many, that are read in the CPU time that a test has."""
LENGTH = 65_536
RULES = ReplyRules(service="3", agree="1", refuse="2", strict=False)
# fmt: off
_LETTERS = [
    " ", "\u0301", "а", "а ", "а.", "3", "3#", "3#1", "3 # ", "#", "*", "*1", "7", "77", "+7 ", "00", "8 10 ",
    "(-) ", "77011234567", "870312497005", "://", "://a:", "://:", "bearer ", "basic", "whsec_", "'", '"', "b'",
    "\\", "\\x00", "DETAIL:", "{", "[", ",", ":", '"a":', "id:1 ", "stat:", "err:", "id", "message id", "text:",
    "deliv", "fail ", "undeliv", "_", "0", "f", "\u0315\u0300\u05ae", "\ufdfa", "\u1100\u1161\u11a8", "\x00", "\n",
    "\t ", "\u3164",
]
# fmt: on
WORST = [(letters * LENGTH)[:LENGTH] for letters in _LETTERS]
_BEGINNINGS = ("а", "3#", "id:1 stat:", "://a")
WORST += [beginning + (letter * LENGTH)[:LENGTH] for beginning in _BEGINNINGS for letter in " .{"]


def _receipt(text: str) -> object:
    message = decode_short_message(
        CommandId.DELIVER_SM,
        smpplib_encode("deliver_sm", 1, esm_class=0, message_payload=text.encode("utf-8")[:60_000])[16:],
    )
    return parse_receipt(message)


def _record(text: str) -> object:
    person = {"iin": text[:20_000], "surname": text[:20_000], "given_name": text[:20_000]}
    return read_record(json.dumps({"record_id": "r", "category": 1, "pupil": person, "mother": person}).encode())


MATCHERS: dict[str, Callable[[str], object]] = {
    "a sender": canonical_msisdn,
    "an IIN": iin_fault,
    "a reply": lambda text: read_reply(text[:MAX_REPLY_CHARACTERS], RULES),
    "a menu's reply": lambda text: read_menu_reply(text[:MAX_REPLY_CHARACTERS], RULES),
    "a dialled code": lambda text: dialled_service(text[:MAX_REPLY_CHARACTERS]),
    "a receipt": _receipt,
    "a bind_resp": lambda text: decode_bind_resp(text.encode()),
    "a record": _record,
    "a line with keys twice": lambda text: duplicate_keys(json.dumps({text: text}).encode()),
    "a log line": masked_text,
    "the message of an exception": masked_message,
    "a reason": lambda text: without_numbers(text[:MAX_REASON_LENGTH]),
}


@pytest.mark.parametrize("matcher", MATCHERS.values(), ids=MATCHERS)
@pytest.mark.usefixtures("cpu_limit")
def test_foreign_text_is_matched_in_linear_time(matcher: Callable[[str], object]) -> None:
    for text in WORST:
        matcher(text)


@pytest.mark.usefixtures("cpu_limit")
def test_no_repeated_piece_of_a_field_makes_a_receipt_slow() -> None:
    # Of three characters each: where two parts of an expression fit the same ones, its time doubles with a piece.
    for piece in map("".join, product("a1:\"'} ,{", repeat=3)):
        for text in (f"id:1 {piece * 30}# stat:DELIVRD", f"id:1 {piece * 30}# stat:DELIVRD err:0"):
            assert _receipt(text) is None, text


_PIECES_OF_LINES = [
    '{"name":"\u3164"}', '{"name":"\u3164","surname":"\u3164","given_name":"\u3164"}', "{}", "[]", "1", '""',
    '{"iin":"\u0301"}', '{"surname":"' + "\u0301" * 200 + '"}', '{"a":1,"a":1}', '{"\u3164":1}',
]  # fmt: skip


@pytest.mark.parametrize("piece", _PIECES_OF_LINES)
@pytest.mark.usefixtures("cpu_limit")
def test_a_line_full_of_one_piece_is_read_in_a_slice_of_time(piece: str) -> None:
    fields = ("representatives", "unknown")
    for field in fields:
        line = f'{{"record_id":"r","{field}":[{",".join([piece] * (60_000 // (len(piece.encode()) + 1)))}]}}'
        for _ in range(CPU_LINES):
            read_record(line.encode())


def test_a_long_text_is_cut_in_the_log_and_no_part_of_a_number_remains() -> None:
    for before in range(MAX_LOGGED_CHARACTERS - 14, MAX_LOGGED_CHARACTERS + 2):
        shown = masked_text("x" * before + " 870312497005 " + "y" * 100)
        assert len(shown) == MAX_LOGGED_CHARACTERS
        assert shown.endswith("…")
        assert "0312497" not in shown
