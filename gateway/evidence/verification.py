"""Evidence of a consent: the checks that anybody can make of a record offline.

The journal holds digests in place of personal data: HMAC-SHA-256 with a key that each case has for itself, derived
from the database's evidence key. A record carries its case's key, so that its texts and replies can be compared
with the journal's digests; it opens no other case. docs/evidence.md describes the format.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import Any, TypeAlias

from gateway.consent.details import ReplyRead, RoutedReplyRead
from gateway.consent.reply import RULE_VERSION, ReplyRules, Verdict, read_reply
from gateway.evidence import merkle
from gateway.evidence.comparison import Rows, differences
from gateway.evidence.digests import FORMATS, Anchor, journal_entry, journal_hash, seal
from gateway.evidence.form import MAX_FAULTS, Fault, form_faults
from gateway.evidence.history import History, read_history
from gateway.limits import MAX_REPLY_CHARACTERS
from gateway.smpp.text import decode, decode_text

_PLACEHOLDER = re.compile(r"\{[a-z]+\}")
_VERSION_DIGITS = 12
_SEGMENT_OCTETS = 140
Record: TypeAlias = Mapping[str, Any]


def check(record: object, anchor: Anchor | None = None) -> list[Fault]:
    """What in the record does not hold, the first MAX_FAULTS of it; empty when all of it holds.

    The time is linear in the size of the record.

    An anchor that was kept elsewhere proves that the entries were in the journal at that time. Fields of which
    the journal has no digest are protected by the seal alone, which anybody can compute again.
    """
    if not isinstance(record, Mapping):
        return [Fault("", "is no JSON object")]
    if faults := form_faults(record):
        return faults
    history, unreadable = read_history(record["journal"])
    faults = [*_seal(record), *unreadable]
    for name, part in (
        ("journal", _journal(record)),
        ("tree", _tree(record)),
        ("case", _rows(record, history)),
        ("texts", _templates(record)),
        ("replies", _readings(record, history)),
    ):
        try:
            faults += islice(part, MAX_FAULTS)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            faults.append(Fault(f"/{name}", f"cannot be read: {type(error).__name__}"))
    if anchor is not None and not faults:
        faults += _anchored(record, anchor)
    return faults[:MAX_FAULTS]


def _seal(record: Record) -> Iterator[Fault]:
    if record["seal"] != seal(record):
        yield Fault("/seal", "does not fit the record: something in it was changed")


def _journal(record: Record) -> Iterator[Fault]:
    """Each entry fits its hash, and follows the one before."""
    case_id, entries = record["case"]["case_id"], record["journal"]
    if not entries:
        yield Fault("/journal", "is empty")
        return
    for n, entry in enumerate(entries):
        fields = (entry["seq"], entry["at_us"], case_id, entry["event"], entry["event_id"], entry["detail"])
        octets = journal_entry(*fields, _version(entry))
        if journal_hash(bytes.fromhex(entry["before"]), octets).hex() != entry["hash"]:
            yield Fault(f"/journal/{n}", f"entry {entry['seq']}: its hash does not fit its text")
    for n, (previous, entry) in enumerate(pairwise(entries), start=1):
        if entry["seq"] <= previous["seq"]:
            yield Fault(f"/journal/{n}", f"entry {entry['seq']} after {previous['seq']}")
        if entry["seq"] == previous["seq"] + 1 and entry["before"] != previous["hash"]:
            yield Fault(f"/journal/{n}", f"entry {entry['seq']} does not follow from {previous['seq']}")
        if _version(entry) < _version(previous):
            yield Fault(f"/journal/{n}", "has an older version of the hash than the entry before")
    if record["format"] != FORMATS[max(map(_version, entries))]:
        yield Fault("/format", "is not that of the entries")


def _version(entry: Mapping[str, Any]) -> int:
    """The version of the entry's hash; records of 0.1.0 name none."""
    version: int = entry.get("version", 1)
    return version


def _tree(record: Record) -> Iterator[Fault]:
    """The path of each entry leads to the root over the journal's first `size`."""
    size, root = record["tree"]["size"], bytes.fromhex(record["tree"]["root"])
    for n, entry in enumerate(record["journal"]):
        leaf, path = merkle.leaf(bytes.fromhex(entry["hash"])), [bytes.fromhex(hash_) for hash_ in entry["path"]]
        if merkle.climb(leaf, entry["seq"] - 1, size, path) != root:
            yield Fault(f"/journal/{n}/path", f"entry {entry['seq']}: its path does not lead to the root")


def _anchored(record: Record, anchor: Anchor) -> Iterator[Fault]:
    size, root = record["tree"]["size"], bytes.fromhex(record["tree"]["root"])
    if size != anchor.seq:
        yield Fault("/tree/size", f"is {size}; print the record by `gateway evidence CASE --at {anchor.seq}`")
    elif root != anchor.root:
        yield Fault("/tree/root", "is not the anchor's: this is not the journal of that time")


def _rows(record: Record, history: History) -> Iterator[Fault]:
    """State, instants, texts, replies and answer are those of the journal."""
    case = record["case"]
    return differences(history, Rows(case, record["texts"], record["replies"], bytes.fromhex(case["key"])))


def _templates(record: Record) -> Iterator[Fault]:
    """Each text is made of its template."""
    for n, text in enumerate(record["texts"]):
        body, template = text["body"], text["template_body"]
        if hashlib.sha256(template.encode()).hexdigest()[:_VERSION_DIGITS] != text["template"]:
            yield Fault(f"/texts/{n}/template_body", "is not that version of the template")
        elif body is not None and not _made_of(template, body):
            yield Fault(f"/texts/{n}/body", "is not made of its template")


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


def _readings(record: Record, history: History) -> Iterator[Fault]:
    """Each text is what the octets decode to, and the verdict what the present rules make of the text.

    A reply may be unclear whatever it says: segments of it may be missing, or it was too long.
    """
    rules = ReplyRules(**record["case"]["rules"])
    for n, (reply, (_, detail)) in enumerate(zip(record["replies"], history.replies_read(), strict=False)):
        if reply["octets"] is None:
            continue
        where, text = f"/replies/{n}", reply["text"]
        received = bytes.fromhex(reply["octets"]), reply["data_coding"], reply["default_alphabet"]
        # 0.1.0 has read a final NUL as a character of the text.
        if text not in (decode_text(*received), decode(*received)) and not _is_joined_packed(reply):
            yield Fault(f"{where}/text", "is not what the octets decode to")
        if reply["verdict"] == Verdict.UNCLEAR:
            continue
        if text is not None and len(text) > MAX_REPLY_CHARACTERS:
            yield Fault(f"{where}/verdict", f"is that of more than {MAX_REPLY_CHARACTERS:,} characters")
        elif isinstance(detail, ReplyRead | RoutedReplyRead) and reply["rule_version"] == RULE_VERSION:
            # A USSD dialogue has rules of its own; older versions of the rules are not kept here.
            reading = read_reply(text, rules)
            if [reading.verdict, reading.normalised] != [reply["verdict"], reply["normalised"]]:
                yield Fault(f"{where}/verdict", f"is {reading.verdict} by the rules")


def _is_joined_packed(reply: Mapping[str, Any]) -> bool:
    """Whether these are segments in packed septets, which cannot be joined without the lengths of their UDHs."""
    octets, coding = bytes.fromhex(reply["octets"]), reply["data_coding"]
    if reply["default_alphabet"] != "packed" or len(octets) <= _SEGMENT_OCTETS:
        return False
    return decode(octets, coding, "packed") != decode(octets, coding, "latin1")  # else the coding names another
