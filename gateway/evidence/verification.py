"""Evidence of a consent: the checks that anybody can make of a record offline.

The journal holds digests in place of personal data: HMAC-SHA-256 with a key that each case has for itself, derived
from the database's evidence key. A record carries its case's key, so that its texts and replies can be compared
with the journal's digests; it opens no other case. docs/evidence.md describes the format.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeAlias

import orjson

from gateway.consent.case import AGREED, State
from gateway.consent.events import (
    Detail,
    EventType,
    ReplyOfReason,
    ReplyRead,
    TextAccepted,
    TextQueued,
    UssdReplyRead,
    parse_detail,
)
from gateway.consent.reply import RULE_VERSION, ReplyRules, read_reply
from gateway.evidence import merkle
from gateway.evidence.digests import FORMAT, Anchor, journal_entry, journal_hash, keyed_hash, reply_identity, seal
from gateway.smpp.text import decode

_PLACEHOLDER = re.compile(r"\{[a-z]+\}")
_VERSION_DIGITS = 12
Entry: TypeAlias = Mapping[str, Any]
"""An entry of the journal, as the record has it."""
AnyReplyRead: TypeAlias = ReplyRead | UssdReplyRead


class _UnreadableError(Exception):
    """A part of the record is not there, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the record that does not hold: where, as a JSON pointer, and why."""

    pointer: str
    reason: str


def replies_read(journal: Sequence[Entry]) -> list[tuple[Entry, AnyReplyRead]]:
    """The journal's entries of a case's replies, without those that came by a link that may not carry them."""
    ignored = {
        (entry["at_us"], detail.reply)
        for entry, detail in _entries(journal, EventType.REPLY_IGNORED)
        if isinstance(detail, ReplyOfReason)
    }
    return [
        (entry, detail)
        for entry, detail in _entries(journal, EventType.REPLY_READ)
        if isinstance(detail, ReplyRead | UssdReplyRead) and (entry["at_us"], detail.reply) not in ignored
    ]


def check(record: object, anchor: Anchor | None = None) -> list[Fault]:
    """Everything in the record that does not hold; empty when all of it does.

    An anchor that was kept elsewhere proves that the entries were in the journal at that time. Fields of which
    the journal has no digest are protected by the seal alone, which anybody can compute anew.
    """
    if not isinstance(record, Mapping):
        return [Fault("", "is no JSON object")]
    if record.get("format") != FORMAT:
        return [Fault("/format", f"is not {FORMAT}")]
    faults: list[Fault] = []
    for part in (_seal, _journal, _tree, _texts, _replies, _answer):
        try:
            faults += part(record)
        except (_UnreadableError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            faults.append(Fault(f"/{part.__name__.strip('_')}", f"cannot be read: {type(error).__name__} {error}"))
    if anchor is not None and not faults:
        faults += _anchored(record, anchor)
    return faults


def _seal(record: Mapping[str, Any]) -> Iterator[Fault]:
    if record["seal"] != seal(record):
        yield Fault("/seal", "does not fit the record: something in it was changed")


def _journal(record: Mapping[str, Any]) -> Iterator[Fault]:
    """Each entry fits its hash, and follows the one before."""
    case_id, entries = record["case"]["case_id"], record["journal"]
    if not entries:
        yield Fault("/journal", "is empty")
    for n, entry in enumerate(entries):
        octets = journal_entry(
            entry["seq"], entry["at_us"], case_id, entry["event"], entry["event_id"], entry["detail"]
        )
        if journal_hash(bytes.fromhex(entry["before"]), octets).hex() != entry["hash"]:
            yield Fault(f"/journal/{n}", f"entry {entry['seq']}: its hash does not fit its text")
    for n, (previous, entry) in enumerate(pairwise(entries), start=1):
        if entry["seq"] <= previous["seq"]:
            yield Fault(f"/journal/{n}", f"entry {entry['seq']} after {previous['seq']}")
        if entry["seq"] == previous["seq"] + 1 and entry["before"] != previous["hash"]:
            yield Fault(f"/journal/{n}", f"entry {entry['seq']} does not follow from {previous['seq']}")


def _tree(record: Mapping[str, Any]) -> Iterator[Fault]:
    """The path of each entry leads to the root over the journal's first `size`."""
    size, root = record["tree"]["size"], bytes.fromhex(record["tree"]["root"])
    for n, entry in enumerate(record["journal"]):
        leaf, path = merkle.leaf(bytes.fromhex(entry["hash"])), [bytes.fromhex(hash_) for hash_ in entry["path"]]
        if merkle.climb(leaf, entry["seq"] - 1, size, path) != root:
            yield Fault(f"/journal/{n}/path", f"entry {entry['seq']}: its path does not lead to the root")


def _anchored(record: Mapping[str, Any], anchor: Anchor) -> Iterator[Fault]:
    size, root = record["tree"]["size"], bytes.fromhex(record["tree"]["root"])
    if size != anchor.seq:
        yield Fault("/tree/size", f"is {size}; print the record by `gateway evidence CASE --at {anchor.seq}`")
    elif root != anchor.root:
        yield Fault("/tree/root", "is not the anchor's: this is not the journal of that time")


def _texts(record: Mapping[str, Any]) -> Iterator[Fault]:
    """Each text is the journal's, and made of its template."""
    journal = record["journal"]
    key, erased = bytes.fromhex(record["case"]["key"]), _entries(journal, EventType.ERASED)
    queued = {
        detail.sms_id: (entry, detail)
        for entry, detail in _entries(journal, EventType.TEXT_QUEUED)
        if isinstance(detail, TextQueued)
    }
    accepted = {
        detail.sms_id: (entry, detail)
        for entry, detail in _entries(journal, EventType.TEXT_ACCEPTED)
        if isinstance(detail, TextAccepted)
    }
    if sorted(queued) != sorted(text["sms_id"] for text in record["texts"]):
        yield Fault("/texts", "are not those of the journal")
    for n, text in enumerate(record["texts"]):
        where = f"/texts/{n}"
        if text["sms_id"] not in queued:
            continue
        entry, detail = queued[text["sms_id"]]
        body, template = text["body"], text["template_body"]
        if body is None and not erased:
            yield Fault(f"{where}/body", "is missing, but the journal has no entry that it was erased")
        elif body is not None and keyed_hash(key, body.encode()) != detail.body:
            yield Fault(f"{where}/body", "does not fit the journal's digest")
        if [text["kind"], text["template"], text["link"]] != [detail.text, detail.template, detail.link]:
            yield Fault(where, "kind, template or link are not the journal's")
        if hashlib.sha256(template.encode()).hexdigest()[:_VERSION_DIGITS] != text["template"]:
            yield Fault(f"{where}/template_body", "is not that version of the template")
        elif body is not None and not _made_of(template, body):
            yield Fault(f"{where}/body", "is not made of its template")
        if _microseconds(text["created_at"]) != entry["at_us"]:
            yield Fault(f"{where}/created_at", "is not the journal's instant")
        yield from _accepted(where, text, accepted.get(text["sms_id"]))


def _made_of(template: str, body: str) -> bool:
    """Whether the body is the template with any text in place of each placeholder.

    No regular expression: with a forged template it might not end.
    """
    first, *middle = _PLACEHOLDER.split(template)
    if not middle:
        return body == template
    last = middle.pop()
    if not (body.startswith(first) and body.endswith(last)):
        return False
    at, end = len(first), len(body) - len(last)
    for piece in middle:
        at = body.find(piece, at, end) + len(piece)
        if at < len(piece):
            return False
    return at <= end


def _accepted(
    where: str, text: Mapping[str, Any], journaled: tuple[Entry, TextAccepted] | None
) -> Iterator[Fault]:
    if journaled is None:
        if text["accepted_at"] is not None and not text["kind"].startswith("menu"):  # a screen is not journaled
            yield Fault(f"{where}/accepted_at", "the journal has no entry that it was accepted")
        return
    entry, detail = journaled
    if text["accepted_at"] is None or _microseconds(text["accepted_at"]) > entry["at_us"]:
        yield Fault(f"{where}/accepted_at", "is later than the journal's entry of it")
    if text["message_ids"] != detail.message_ids:
        yield Fault(f"{where}/message_ids", "are not the journal's")


def _replies(record: Mapping[str, Any]) -> Iterator[Fault]:
    """Each reply is the journal's, and is read as it was."""
    case, erased = record["case"], _entries(record["journal"], EventType.ERASED)
    key = bytes.fromhex(case["key"])
    # Some SMSCs give no time: then equal replies have the same digest.
    read: defaultdict[str, list[tuple[Entry, AnyReplyRead]]] = defaultdict(list)
    for entry, detail in reversed(replies_read(record["journal"])):
        read[detail.reply].append((entry, detail))
    for n, reply in enumerate(record["replies"]):
        where = f"/replies/{n}"
        if not read[reply["digest"]]:
            yield Fault(f"{where}/digest", "is not in the journal, or in fewer entries")
            continue
        entry, detail = read[reply["digest"]].pop()
        session = detail.session if isinstance(detail, UssdReplyRead) else None
        if [detail.verdict, detail.normalised, detail.rules, detail.link] != [
            reply["verdict"],
            reply["normalised"],
            reply["rule_version"],
            reply["link"],
        ]:
            yield Fault(where, "verdict, normalised, rule_version or link are not the journal's")
        if _microseconds(reply["received_at"]) != entry["at_us"]:
            yield Fault(f"{where}/received_at", "is not the journal's instant")
        if reply["octets"] is None:
            if reply["text"] is not None or not erased:
                yield Fault(
                    f"{where}/octets",
                    "are missing: the journal has no entry that they were erased, or a text is left",
                )
            continue
        octets = bytes.fromhex(reply["octets"])
        identity = reply_identity(
            reply["link"], reply["source_addr"], reply["destination_addr"], octets, reply["smsc_time"],
            session,
        )  # fmt: skip
        if keyed_hash(key, identity) != reply["digest"]:
            yield Fault(f"{where}/octets", "do not fit the digest, with sender, receiver and time")
        yield from _read_again(where, reply, octets, case["rules"], ussd=session is not None)
    if missing := sum(map(len, read.values())):
        yield Fault("/replies", f"{missing} of the journal's are missing")


def _read_again(
    where: str, reply: Mapping[str, Any], octets: bytes, rules: Mapping[str, Any], *, ussd: bool
) -> Iterator[Fault]:
    """The text is what the octets decode to, and the verdict what the present rules make of the text."""
    if reply["default_alphabet"] != "packed":  # of which segments cannot be joined without their UDH
        text = decode(octets, reply["data_coding"], reply["default_alphabet"])
        if text != reply["text"]:
            yield Fault(f"{where}/text", "is not what the octets decode to")
    if ussd or reply["rule_version"] != RULE_VERSION:
        return  # a USSD dialogue has rules of its own; older versions are not kept here
    reading = read_reply(reply["text"], ReplyRules(**rules))
    if [reading.verdict, reading.normalised] != [reply["verdict"], reply["normalised"]]:
        yield Fault(f"{where}/verdict", f"is {reading.verdict} by the rules")


def _answer(record: Mapping[str, Any]) -> Iterator[Fault]:
    """The consent is that of a reply which agrees; without one, nothing in the case follows from a consent."""
    case = record["case"]
    state, consented = State(case["state"]), _entries(record["journal"], EventType.CONSENTED)
    if not consented:
        if case["evidence"] is not None:
            yield Fault("/case/evidence", "the journal has no consent")
        if state in AGREED:
            yield Fault("/case/state", "the journal has no consent")
        return
    digest = "hmac-" + str(case["evidence"])
    agreeing = [reply for reply in record["replies"] if reply["digest"] == digest and reply["verdict"] == "agree"]
    if not agreeing:
        yield Fault("/case/evidence", "is the digest of no reply that agrees")
    elif case["answered_at"] not in [reply["received_at"] for reply in agreeing]:
        yield Fault("/case/answered_at", "is not the instant of that reply")


def _entries(journal: Sequence[Entry], event: EventType) -> list[tuple[Entry, Detail]]:
    """The journal's entries of an event, with their details; ValueError when a detail is not one of the event."""
    return [
        (entry, parse_detail(event, orjson.loads(entry["detail"]))) for entry in journal if entry["event"] == event
    ]


def _microseconds(instant: str) -> int:
    at = datetime.fromisoformat(instant)
    if at.tzinfo is None:
        raise _UnreadableError(f"{instant} has no offset")
    seconds = at.replace(microsecond=0).timestamp()
    return int(seconds) * 1_000_000 + at.microsecond
