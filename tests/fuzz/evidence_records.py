"""The rules for any record of evidence: read in one way or not at all, every failure a line, nothing forged.

The octets are read as a record. They are also a list of changes to a record that holds, one a line: a path such as
`replies/1/verdict` and a value in JSON. A first line `ussd` or `erased` names another record.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.consent.reply import ReplyRules, Verdict, read_menu_reply, read_reply
from gateway.evidence.form import MAX_FAULTS, Fault, UnreadableRecordError, form_faults, read_record
from gateway.evidence.verification import check
from tests.evidence.record_changes import Record, journaled, sealed

WORDS: Final = (
    b"case/", b"texts/0/", b"replies/1/", b"journal/3/", b"tree/", b"state", b"msisdn", b"evidence",
    b"answered_at", b"detail", b"event", b"event_id", b"hash", b"before", b"path", b"seq", b"at_us", b"version",
    b"octets", b"digest", b"verdict", b"text", b"body", b"template_body", b"rules", b"data_coding", b"null",
    b"true", b"{}", b"[]", b'""', b"-1", b"9223372036854775807", b'"consented"', b'"refused"', b'"agree"',
    b'"refuse"', b'"77010000099"', b'"00330023"', b'"2026-02-30T25:00:00+00:00"',
    b'"9999-12-31T23:59:59+00:00"', b"ussd\n", b"erased\n", b"\n", b'"{}"', b'"[1]"', b'"\\ud800"',
    b'"a": 1, "a": 2', b"1.5", b"NaN", b"\xff",
)  # fmt: skip
_FIXTURES: Final = Path(__file__).parents[1] / "fixtures" / "v0_1_0"
_RECORDS: Final = {
    name: (_FIXTURES / file).read_bytes()
    for name, file in (
        (b"", "evidence.json"),
        (b"ussd", "evidence_ussd.json"),
        (b"erased", "evidence_erased.json"),
    )
}
_MAX_MESSAGE_CHARACTERS: Final = 600
_CONSENTED: Final = ("consented", "voucher_issued", "voucher_rejected")


def probe(octets: bytes) -> None:
    """Reads and verifies a record, and a changed one. Raises AssertionError, or what the verification raised."""
    try:
        value = read_record(octets)
    except UnreadableRecordError as error:
        _is_a_line(str(error))
    else:
        assert value == json.loads(octets)
        assert _faults(value), "the octets are a record that holds"
    original, changed = _changed(octets)
    if changed != original:
        assert _faults(changed), "a change without a new seal is not found"
    for forged in _forgeries(changed):
        if not _faults(forged):
            _is_a_consent_that_was_given(forged)


def _forgeries(changed: Record) -> Iterator[Record]:
    """What somebody could make of it who has the case's key, but no anchor."""
    yield sealed(changed)
    if not form_faults(changed):
        with suppress(ValueError):  # there is no such version of the hash
            yield journaled(changed)


def _changed(octets: bytes) -> tuple[Record, Record]:
    """A record that holds, and the same one with the changes that can be made."""
    first, _, rest = octets.partition(b"\n")
    record = _RECORDS.get(first, _RECORDS[b""])
    original, changed = orjson.loads(record), orjson.loads(record)
    for line in (rest if first in _RECORDS else octets).splitlines():
        path, _, value = line.partition(b" ")
        try:
            _put(changed, path.decode().split("/"), orjson.loads(value))
        except (ValueError, LookupError, TypeError):
            continue
    return original, changed


def _put(record: Record, path: list[str], value: object) -> None:
    holder: Any = record
    for step in path[:-1]:
        holder = holder[int(step) if isinstance(holder, list) else step]
    holder[int(path[-1]) if isinstance(holder, list) else path[-1]] = value


def _faults(record: object) -> list[Fault]:
    """What does not hold; each is a line."""
    faults = check(record)
    assert len(faults) <= MAX_FAULTS
    for fault in faults:
        _is_a_line(f"{fault.pointer} {fault.reason}")
    return faults


def _is_a_line(message: str) -> None:
    assert len(message) <= _MAX_MESSAGE_CHARACTERS
    assert message.isprintable(), "a message of several lines"


def _is_a_consent_that_was_given(record: Record) -> None:
    """Where the record holds and says that somebody agreed, a reply from the number asked says so."""
    case = record["case"]
    if case["state"] not in _CONSENTED:
        return
    rules = ReplyRules(**case["rules"])
    asked = {text["msisdn"] for text in record["texts"] if text["kind"] in ("request", "repeat")}
    assert any(
        reply["verdict"] == Verdict.AGREE
        and reply["digest"] == f"hmac-{case['evidence']}"
        and reply["source_addr"] == case["msisdn"]
        and reply["source_addr"] in asked
        and (reply["octets"] is None or Verdict.AGREE in _verdicts(reply["text"], rules))
        for reply in record["replies"]
    ), "a consent that nobody gave holds"


def _verdicts(text: str | None, rules: ReplyRules) -> tuple[Verdict, Verdict]:
    return read_reply(text, rules).verdict, read_menu_reply(text, rules).verdict
