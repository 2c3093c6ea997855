"""What the rows of a case say, compared with its journal: state, instants, texts, replies, and the answer.

The rows are as in a record of evidence, read from its file or from the database. A row that was changed does not
fit its digest; a consent needs a question before it and a reply that counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from gateway.consent.case import ENDED
from gateway.consent.details import (
    Reply,
    RoutedReplyRead,
    RoutedUssdReplyRead,
    TextAccepted,
    TextQueuedTo,
    UssdReplyRead,
    Voucher,
)
from gateway.consent.events import EventType
from gateway.consent.identity import canonical_msisdn
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from gateway.evidence.digests import Sender, keyed_hash, reply_identity, sender, sent_text
from gateway.evidence.form import Fault
from gateway.evidence.history import AnyReplyRead, AnyTextQueued, Entry, History, follow

Row: TypeAlias = Mapping[str, Any]

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND = timedelta(microseconds=1)
_ALPHANUMERIC = 5
"""The type of number of a name (SMPP 3.4 §5.2.5)."""
_QUESTIONS = (Kind.REQUEST, Kind.REPEAT)
_ANSWERS = {EventType.CONSENTED: Verdict.AGREE, EventType.REFUSED: Verdict.REFUSE}


class Rows(NamedTuple):
    """The rows of a case, and the key of its digests."""

    case: Row
    texts: Sequence[Row]
    replies: Sequence[Row]
    key: bytes


def differences(history: History, rows: Rows) -> Iterator[Fault]:
    """Everything in which the rows are not what the journal says; the time is linear in both."""
    yield from _state(history, rows.case)
    yield from _texts(history, rows)
    yield from _replies(history, rows)
    yield from _answer(history, rows)


def microseconds(instant: str) -> int:
    """Those since 1970; raises ValueError for an instant without offset."""
    at = datetime.fromisoformat(instant)
    if at.tzinfo is None:
        raise ValueError(f"{instant} has no offset")
    return (at - _EPOCH) // _MICROSECOND


def _state(history: History, case: Row) -> Iterator[Fault]:
    """The state is the one that the entries lead to, and its instants are theirs."""
    state, wrong = follow((entry.event, entry.detail) for entry in history.entries)
    for n, reason in wrong:
        yield Fault(f"/journal/{n}", reason)
    if case["state"] != state:
        yield Fault("/case/state", f"is {state or 'none'} by the journal")
    end = history.of(EventType(state)) if state is not None and state in ENDED else ()
    for field, entries in (
        ("opened_at", history.of(EventType.RECEIVED)),
        ("ended_at", end),
        ("erased_at", history.of(EventType.ERASED)),
    ):
        if not _is_at(case[field], entries[-1] if entries else None):
            yield Fault(f"/case/{field}", "is not the journal's instant")
    issued = history.with_detail(EventType.VOUCHER_ISSUED, Voucher)
    if case["voucher_id"] != (issued[-1][1].voucher_id if issued else None):
        yield Fault("/case/voucher_id", "is not the journal's")


def _is_at(instant: str | None, entry: Entry | None) -> bool:
    if instant is None or entry is None:
        return instant is None and entry is None
    return microseconds(instant) == entry.at_us


def _texts(history: History, rows: Rows) -> Iterator[Fault]:
    """Each text is the journal's."""
    queued = {detail.sms_id: (entry, detail) for entry, detail in history.texts_queued()}
    accepted = {
        detail.sms_id: (entry, detail)
        for entry, detail in history.with_detail(EventType.TEXT_ACCEPTED, TextAccepted)
    }
    if [text["sms_id"] for text in rows.texts] != sorted(queued):
        yield Fault("/texts", "are not those of the journal, in their order")
    for n, text in enumerate(rows.texts):
        if text["sms_id"] not in queued:
            continue
        entry, detail = queued[text["sms_id"]]
        yield from _text(f"/texts/{n}", text, (entry, detail), history, rows.key)
        yield from _accepted(f"/texts/{n}", text, accepted.get(text["sms_id"]))
        sent = accepted.get(text["sms_id"])
        # Until it is accepted, a text may change to the fallback of its link.
        if sent is not None and text["link"] not in (detail.link, sent[1].link):
            yield Fault(f"/texts/{n}/link", "is not the journal's")


def _text(
    where: str, text: Row, journaled: tuple[Entry, AnyTextQueued], history: History, key: bytes
) -> Iterator[Fault]:
    entry, detail = journaled
    body = text["body"]
    if body is None:
        if not history.of(EventType.ERASED):
            yield Fault(f"{where}/body", "is missing, but the journal has no entry that it was erased")
    elif isinstance(detail, TextQueuedTo):
        if keyed_hash(key, sent_text(text["msisdn"], body)) != detail.sent:
            yield Fault(f"{where}/body", "does not fit the journal's digest, with its number")
    elif keyed_hash(key, body.encode()) != detail.body:
        yield Fault(f"{where}/body", "does not fit the journal's digest")
    if [text["kind"], text["template"], text["segments"]] != [detail.text, detail.template, detail.segments]:
        yield Fault(where, "kind, template or segments are not the journal's")
    if not _is_at(text["created_at"], entry):
        yield Fault(f"{where}/created_at", "is not the journal's instant")


def _accepted(where: str, text: Row, journaled: tuple[Entry, TextAccepted] | None) -> Iterator[Fault]:
    if journaled is None:
        if text["accepted_at"] is not None and not text["kind"].startswith("menu"):  # a screen is not journaled
            yield Fault(f"{where}/accepted_at", "the journal has no entry that it was accepted")
        return
    entry, detail = journaled
    if text["accepted_at"] is None or microseconds(text["accepted_at"]) > entry.at_us:
        yield Fault(f"{where}/accepted_at", "is later than the journal's entry of it")
    if text["message_ids"] != detail.message_ids:
        yield Fault(f"{where}/message_ids", "are not the journal's")


def _replies(history: History, rows: Rows) -> Iterator[Fault]:
    """Each reply is the journal's; both are in the order of their arrival."""
    read = history.replies_read()
    if len(read) != len(rows.replies):
        yield Fault("/replies", f"are {len(rows.replies)}, but {len(read)} in the journal")
    for n, (reply, (entry, detail)) in enumerate(zip(rows.replies, read, strict=False)):
        where = f"/replies/{n}"
        if reply["digest"] != detail.reply:
            yield Fault(f"{where}/digest", "is not the journal's")
        fields = ("verdict", "normalised", "rule_version", "link")
        if [reply[field] for field in fields] != [detail.verdict, detail.normalised, detail.rules, detail.link]:
            yield Fault(where, "verdict, normalised, rule_version or link are not the journal's")
        if not _is_at(reply["received_at"], entry):
            yield Fault(f"{where}/received_at", "is not the journal's instant")
        if reply["octets"] is None:
            if reply["text"] is not None or not history.of(EventType.ERASED):
                reason = "are missing: the journal has no entry that they were erased, or a text is left"
                yield Fault(f"{where}/octets", reason)
        elif keyed_hash(rows.key, _identity(reply, detail)) != detail.reply:
            yield Fault(f"{where}/octets", "do not fit the digest, with sender, receiver and time")
        elif _is_forged(reply):
            yield Fault(f"{where}/received_addr", "is not the number that the reply is said to be from")


def _identity(reply: Row, detail: AnyReplyRead) -> bytes:
    return reply_identity(
        reply["link"],
        reply["source_addr"],
        reply["destination_addr"],
        bytes.fromhex(reply["octets"]),
        reply["smsc_time"],
        detail.session if isinstance(detail, UssdReplyRead | RoutedUssdReplyRead) else None,
        _sender(reply),
    )


def _sender(reply: Row) -> Sender | None:
    return sender(reply.get("received_addr"), reply.get("source_ton"), reply.get("source_npi"))


def _is_forged(reply: Row) -> bool:
    """Whether the sender as it came is not the subscriber that the reply is said to be from."""
    received, number = _sender(reply), reply["source_addr"]
    if received is None or canonical_msisdn(number) != number:
        return False
    return received.ton == _ALPHANUMERIC or number != canonical_msisdn(received.addr)


def _answer(history: History, rows: Rows) -> Iterator[Fault]:
    """A consent or a refusal is that of one reply, which counts, to a question sent before it to that number."""
    case = rows.case
    if case["evidence"] is not None and not history.of(EventType.CONSENTED):
        yield Fault("/case/evidence", "the journal has no consent")
    answers = [entry for event in _ANSWERS for entry in history.of(event)]
    if len(answers) > 1:
        yield Fault("/journal", "has more than one answer")
    elif answers:
        yield from _answered(history, rows, answers[0])
    elif case["answered_at"] is not None:
        yield Fault("/case/answered_at", "the journal has no answer")


def _answered(history: History, rows: Rows, answer: Entry) -> Iterator[Fault]:
    case, is_consent = rows.case, answer.event is EventType.CONSENTED
    giving = [
        _Candidate(n, reply, entry)
        for n, (reply, (entry, detail)) in enumerate(zip(rows.replies, history.replies_read(), strict=False))
        if detail.verdict == _ANSWERS[answer.event]
        and (not is_consent or reply["digest"] == f"hmac-{case['evidence']}")
    ]
    received = [one for one in giving if one.reply["received_at"] == case["answered_at"]]
    counting = [one for one in received if one.is_counted_in(history, answer)] if received else []
    if not giving:
        yield Fault("/case/evidence", "is the digest of no reply that gives this answer")
    elif not received:
        yield Fault("/case/answered_at", "is not the instant of that reply")
    elif not counting:
        reason = "did not count: it came by a link that may not carry it, or at another time"
        yield Fault(f"/replies/{received[-1].n}", reason)
    else:
        n, reply, read = counting[-1]
        if reply["source_addr"] != case["msisdn"]:
            yield Fault(f"/replies/{n}/source_addr", "is not the number of the case")
        if not _was_asked(history, rows.texts, reply["source_addr"], read.seq):
            yield Fault(f"/replies/{n}", "answers no question that was sent to its number before it")


class _Candidate(NamedTuple):
    """A reply that may have given the answer: its place in the rows, its row, and the entry of its reading."""

    n: int
    reply: Row
    read: Entry

    def is_counted_in(self, history: History, answer: Entry) -> bool:
        """Whether it gave the answer: at once, or, held for its link, when somebody accepted it."""
        read, link = self.read, self.reply["link"]
        if not isinstance(answer.detail, Reply) or read.seq > answer.seq:
            return False
        if microseconds(answer.detail.reply_at) // 1000 != read.at_us // 1000:  # written in milliseconds
            return False
        if (read.at_us, link) not in history.held:
            return answer.at_us == read.at_us and _may_come_by(link, read)
        return read.seq < history.accepted.get((self.reply["digest"], link), 0) < answer.seq


def _may_come_by(link: str, read: Entry) -> bool:
    """Whether the entry lets the reply come by that link. One of an earlier version leaves it open."""
    detail = read.detail
    if not isinstance(detail, RoutedReplyRead | RoutedUssdReplyRead) or detail.may_come_by is None:
        return True
    return link in detail.may_come_by


def _was_asked(history: History, texts: Sequence[Row], number: str, before: int) -> bool:
    """Whether a question to the number was queued before this entry."""
    asked = {
        detail.sms_id
        for entry, detail in history.texts_queued()
        if detail.text in _QUESTIONS and entry.seq < before
    }
    return any(text["sms_id"] in asked and text["msisdn"] == number for text in texts)
