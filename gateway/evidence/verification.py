"""Evidence of a consent: a record that stands by itself, and the checks that anybody can make of it offline.

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
from gateway.consent.reply import RULE_VERSION, ReplyRules, read_reply
from gateway.evidence import merkle
from gateway.evidence.digests import FORMAT, Anchor, journal_entry, journal_hash, keyed_hash, reply_identity, seal
from gateway.smpp.text import decode

_PLACEHOLDER = re.compile(r"\{[a-z]+\}")
_VERSION_DIGITS = 12
_Detailed: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Any]]
"""An entry of the journal, and its detail as it is read."""


class _UnreadableError(Exception):
    """A part of the record is not there, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the record that does not hold: where, as a JSON pointer, and why."""

    pointer: str
    reason: str


def replies_read(journal: Sequence[Mapping[str, Any]]) -> list[_Detailed]:
    """The journal's entries of a case's replies; what came by a link that may not carry them is none of them."""
    strange = {(entry["at_us"], detail.get("reply")) for entry, detail in _detailed(journal, "reply_ignored")}
    return [
        (entry, detail)
        for entry, detail in _detailed(journal, "reply_read")
        if (entry["at_us"], detail["reply"]) not in strange
    ]


def check(record: object, anchor: Anchor | None = None) -> list[Fault]:
    """Everything in the record that does not hold; empty when all of it does.

    With an anchor that was kept elsewhere, the entries are shown to be the journal's of that time. What the
    journal has no digest of, only the seal speaks for, which anybody can make anew.
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
    for n, (one, other) in enumerate(pairwise(entries), start=1):
        if other["seq"] <= one["seq"]:
            yield Fault(f"/journal/{n}", f"entry {other['seq']} after {one['seq']}")
        if other["seq"] == one["seq"] + 1 and other["before"] != one["hash"]:
            yield Fault(f"/journal/{n}", f"entry {other['seq']} does not follow from {one['seq']}")


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
    key, erased = bytes.fromhex(record["case"]["key"]), _entries(record, "erased")
    queued = {detail["sms_id"]: (entry, detail) for entry, detail in _entries(record, "text_queued")}
    accepted = {detail["sms_id"]: (entry, detail) for entry, detail in _entries(record, "text_accepted")}
    if sorted(queued) != sorted(text["sms_id"] for text in record["texts"]):
        yield Fault("/texts", "are not those of the journal")
    for n, text in enumerate(record["texts"]):
        where = f"/texts/{n}"
        if text["sms_id"] not in queued:
            continue
        entry, detail = queued[text["sms_id"]]
        body, template = text["body"], text["template_body"]
        if body is None and not erased:
            yield Fault(f"{where}/body", "is missing, though the journal knows of no erasing")
        elif body is not None and keyed_hash(key, body.encode()) != detail["body"]:
            yield Fault(f"{where}/body", "does not fit the journal's digest")
        if [text["kind"], text["template"], text["link"]] != [detail["text"], detail["template"], detail["link"]]:
            yield Fault(where, "kind, template or link are not the journal's")
        if hashlib.sha256(template.encode()).hexdigest()[:_VERSION_DIGITS] != text["template"]:
            yield Fault(f"{where}/template_body", "is not that version of the template")
        elif body is not None and not _made_of(template, body):
            yield Fault(f"{where}/body", "is not made of its template")
        if _microseconds(text["created_at"]) != entry["at_us"]:
            yield Fault(f"{where}/created_at", "is not the journal's instant")
        yield from _accepted(where, text, accepted.get(text["sms_id"]))


def _made_of(template: str, body: str) -> bool:
    """Whether the body is the template with something in each of its places. No regular expression: a forged
    template would make it search for ever.
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


def _accepted(where: str, text: Mapping[str, Any], journaled: _Detailed | None) -> Iterator[Fault]:
    if journaled is None:
        if text["accepted_at"] is not None and not text["kind"].startswith("menu"):  # a screen is not journaled
            yield Fault(f"{where}/accepted_at", "the journal knows of no acceptance")
        return
    entry, detail = journaled
    if text["accepted_at"] is None or _microseconds(text["accepted_at"]) > entry["at_us"]:
        yield Fault(f"{where}/accepted_at", "is later than the journal's entry of it")
    if text["message_ids"] != detail["message_ids"]:
        yield Fault(f"{where}/message_ids", "are not the journal's")


def _replies(record: Mapping[str, Any]) -> Iterator[Fault]:
    """Each reply is the journal's, and is read as it was."""
    case, erased = record["case"], _entries(record, "erased")
    key = bytes.fromhex(case["key"])
    read = defaultdict(list)  # some SMSCs give no time: the same words twice have one digest
    for entry, detail in reversed(replies_read(record["journal"])):
        read[detail["reply"]].append((entry, detail))
    for n, reply in enumerate(record["replies"]):
        where = f"/replies/{n}"
        if not read[reply["digest"]]:
            yield Fault(f"{where}/digest", "is not in the journal, or not so often")
            continue
        entry, detail = read[reply["digest"]].pop()
        told = [detail["verdict"], detail["normalised"], detail["rules"], detail["link"]]
        if told != [reply["verdict"], reply["normalised"], reply["rule_version"], reply["link"]]:
            yield Fault(where, "verdict, normalised, rule_version or link are not the journal's")
        if _microseconds(reply["received_at"]) != entry["at_us"]:
            yield Fault(f"{where}/received_at", "is not the journal's instant")
        if reply["octets"] is None:
            if reply["text"] is not None or not erased:
                yield Fault(f"{where}/octets", "are missing: no erasing is journaled, or a text is still there")
            continue
        octets = bytes.fromhex(reply["octets"])
        identity = reply_identity(
            reply["link"], reply["source_addr"], reply["destination_addr"], octets, reply["smsc_time"],
            detail.get("session"),
        )  # fmt: skip
        if keyed_hash(key, identity) != reply["digest"]:
            yield Fault(f"{where}/octets", "with sender, receiver and time they do not fit the digest")
        yield from _read_again(where, reply, octets, case["rules"], ussd="session" in detail)
    if missing := sum(map(len, read.values())):
        yield Fault("/replies", f"{missing} of the journal's are missing")


def _read_again(
    where: str, reply: Mapping[str, Any], octets: bytes, rules: Mapping[str, Any], *, ussd: bool
) -> Iterator[Fault]:
    """The text is what the octets say, and the verdict what the text says by the rules of now."""
    if reply["default_alphabet"] != "packed":  # whose segments cannot be joined without their headers
        text = decode(octets, reply["data_coding"], reply["default_alphabet"])
        if text != reply["text"]:
            yield Fault(f"{where}/text", "is not what the octets say")
    if ussd or reply["rule_version"] != RULE_VERSION:
        return  # inside a dialogue bare digits count; older rules are not known here any more
    reading = read_reply(reply["text"], ReplyRules(**rules))
    if [reading.verdict, reading.normalised] != [reply["verdict"], reply["normalised"]]:
        yield Fault(f"{where}/verdict", f"the rules say {reading.verdict}")


def _answer(record: Mapping[str, Any]) -> Iterator[Fault]:
    """The consent is that of a reply which agrees."""
    case = record["case"]
    state, consented = State(case["state"]), _entries(record, "consented")
    if not consented:
        if case["evidence"] is not None:
            yield Fault("/case/evidence", "the journal knows of no consent")
        if state in AGREED:
            yield Fault("/case/state", "the journal knows of no consent")
        return
    digest = "hmac-" + str(case["evidence"])
    agreeing = [reply for reply in record["replies"] if reply["digest"] == digest and reply["verdict"] == "agree"]
    if not agreeing:
        yield Fault("/case/evidence", "is no reply that agrees")
    elif case["answered_at"] not in [reply["received_at"] for reply in agreeing]:
        yield Fault("/case/answered_at", "is not when the reply came")


def _entries(record: Mapping[str, Any], event: str) -> list[_Detailed]:
    """The journal's entries of an event, with their details."""
    return _detailed(record["journal"], event)


def _detailed(journal: Sequence[Mapping[str, Any]], event: str) -> list[_Detailed]:
    return [(entry, orjson.loads(entry["detail"])) for entry in journal if entry["event"] == event]


def _microseconds(instant: str) -> int:
    at = datetime.fromisoformat(instant)
    if at.tzinfo is None:
        raise _UnreadableError(f"{instant} has no offset")
    seconds = at.replace(microsecond=0).timestamp()
    return int(seconds) * 1_000_000 + at.microsecond
