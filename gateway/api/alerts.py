"""Alerts for the person on duty: pure, from what the overview has read."""

from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from smpplib import consts

from gateway.clock import MAX_DRIFT_SECONDS
from gateway.config.model import Durability
from gateway.partners.responses import FailureKind
from gateway.smpp import status
from gateway.store.held_replies import HeldByLink
from gateway.store.queues import FAILING_FROM
from gateway.store.replication import Replication
from gateway.store.rewinds import Rewind

MAX_JOURNAL_SECONDS = 60.0
"""For which an entry may wait to be sealed; 0.2 is usual."""
MAX_STATUSES_SECONDS = 300.0
"""In which SDU should have accepted a status pushed to it."""
MAX_VOUCHERS_SECONDS = 900.0
"""In which the wallet should have responded for a consent."""

_CREDENTIALS = frozenset(map(status.name, status.REFUSED_CREDENTIALS))
_BIND_FAILED = status.name(consts.SMPP_ESME_RBINDFAIL)
_PARTNERS = {"lookup": "The MCB", "voucher": "The wallet", "sdu": "SDU"}
_CALLS = {"lookup": "look-ups", "voucher": "vouchers"}
_SECTIONS = {"lookup": "mcb", "voucher": "wallet", "sdu": "sdu"}  # of config.toml
_PAUSED_BY = {
    FailureKind.CREDENTIALS: "does not accept our token (401, 403): settle {section}.token with those who run it",
    FailureKind.ADDRESS: "is not at {section}.url (404, 405, a redirect): correct it, or ask those who run it",
    FailureKind.TOO_LARGE: "does not accept even one record (413): ask those who run it to raise their limit",
    FailureKind.INVALID: "responds as no contract says: ask those who run it, and release parked cases afterwards",
}


class Level(StrEnum):
    """Critical: no text is sent, or the evidence may be broken. Warning: to be looked at within the day."""

    CRITICAL = "critical"
    WARNING = "warning"


class Code(StrEnum):
    LINK_DOWN = "link_down"
    CREDENTIALS_REFUSED = "credentials_refused"
    LINK_STOPPED = "link_stopped"
    NOTHING_ACCEPTED = "nothing_accepted"
    RESPONSES_LATE = "responses_late"
    BIND_REFUSED = "bind_refused"
    SESSIONS_MISSING = "sessions_missing"
    DATABASE_AWAY = "database_away"
    DISK_FULL = "disk_full"
    DATABASE_REWOUND = "database_rewound"
    COMMITS_LOCAL = "commits_local"
    JOURNAL_BROKEN = "journal_broken"
    JOURNAL_LATE = "journal_late"
    PARTNER_PAUSED = "partner_paused"
    CALLS_FAILING = "calls_failing"
    VOUCHERS_LATE = "vouchers_late"
    STATUSES_LATE = "statuses_late"
    CASES_PARKED = "cases_parked"
    REPLIES_HELD = "replies_held"
    CLOCKS_DIFFER = "clocks_differ"
    TIME_STANDS = "time_stands"


SEEN_BY_ONE = frozenset({Code.JOURNAL_BROKEN, Code.PARTNER_PAUSED, Code.STATUSES_LATE})
"""What only the process knows that makes the checks or the calls; the others show what it has noted."""


@dataclass(frozen=True, slots=True)
class Alert:
    level: Level
    code: Code
    text: str  # one sentence, without personal data
    about: str = field(default="", compare=False)  # the link, partner or queue; "": the gateway as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    link: str
    node: str | None  # the process that holds it, if it is alive
    bound: int
    sessions: int  # that the configuration asks for
    since: datetime  # when `bound` last changed, real time
    queued: int  # texts
    bind_failure: str | None  # why the last attempt to bind failed, or the session ended; None: all are bound
    next_bind_at: datetime | None  # real time; in the past: the attempt is under way
    stopped: str | None = None  # the command_status with which the SMSC refuses whatever is sent
    stopped_at: datetime | None = None
    unaccepted_since: datetime | None = None  # the first submit_sm after which nothing was accepted
    needed_timeout_seconds: float | None = None  # the response_timeout that late responses would have needed


class Clocks(NamedTuple):
    """How the clocks differ, in seconds, at the last heartbeat of the process that responds."""

    host_ahead: int  # of the database's clock; below 0: behind it
    standing: int  # for how long business time stands until the database's clock has caught up


class PausedPartner(NamedTuple):
    """A partner that this process has paused until a person has acted."""

    kind: str  # lookup, voucher, sdu
    why: str  # a FailureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    queue: str
    depth: int
    seconds: float  # for which the oldest has waited, real time
    failing: int  # calls that have failed FAILING_FROM times or more; of statuses: pushes that failed in a row


def alerts(
    links: Iterable[LinkState],
    queues: Iterable[QueueState],
    *,
    rewind: Rewind | None,
    replication: Replication,
    durability: Durability,
    held: Iterable[HeldByLink],
    paused: Collection[PausedPartner],
    clocks: Clocks,
    disk_full: bool,
    parked: int,
    journal_faults: int,
    now: datetime,
    down_after_seconds: float,
) -> list[Alert]:
    """The alerts, the critical first; `now` is real time.

    A link without a session is a warning at first, and critical after `down_after_seconds`.
    """
    found: list[Alert] = [*_of_database(rewind, replication, durability)]
    if disk_full:
        text = "The disk of the database has too little free space: lists are rejected. Free some, or enlarge it."
        found.append(Alert(Level.CRITICAL, Code.DISK_FULL, text))
    if journal_faults:
        text = "The journal's chain is broken: gateway verify-journal names the entry."
        found.append(Alert(Level.CRITICAL, Code.JOURNAL_BROKEN, text))
    found += _of_clocks(clocks)
    for link in links:
        found += [replace(alert, about=link.link) for alert in _of_link(link, now, down_after_seconds)]
    for kind, why in paused:
        text = f"{_PARTNERS[kind]} {_PAUSED_BY[FailureKind(why)].format(section=_SECTIONS[kind])}. Its calls wait."
        found.append(Alert(Level.CRITICAL, Code.PARTNER_PAUSED, text, kind))
    told = {partner.kind for partner in paused}
    for queue in queues:
        found += _of_queue(queue, told)
    if parked:
        text = f"{_count(parked, 'case')} parked: somebody has to decide."
        found.append(Alert(Level.WARNING, Code.CASES_PARKED, text))
    found += [_of_held(one) for one in held if one.open or one.recent]
    return _critical_first(found)


def with_noted(own: Collection[Alert], noted: Iterable[Alert]) -> list[Alert]:
    """The alerts of this process, and those that only another one sees; the critical first."""
    known = {(alert.code, alert.about) for alert in own}
    return _critical_first([*own, *(one for one in noted if (one.code, one.about) not in known)])


def _critical_first(found: Iterable[Alert]) -> list[Alert]:
    return sorted(found, key=lambda alert: list(Level).index(alert.level))


def database_away(why: str, *, exhausted: bool, read_at: str) -> Alert:
    """The alert of a database that could not be read now; the rest of the overview is of `read_at`."""
    cause = (
        f"No connection to the database is free ({why}): look for what blocks its statements, and at its load."
        if exhausted
        else f"The database does not respond ({why}): look at PostgreSQL, its disk and the network to it."
    )
    return Alert(Level.CRITICAL, Code.DATABASE_AWAY, f"{cause} What is shown is of {read_at}.")


def _of_clocks(clocks: Clocks) -> Iterator[Alert]:
    if clocks.standing > MAX_DRIFT_SECONDS:
        text = (
            f"The database's clock was set back: business time stands for {span(clocks.standing)}. Nothing "
            "becomes due until then; replies and texts go on."
        )
        yield Alert(Level.WARNING, Code.TIME_STANDS, text)
    if abs(clocks.host_ahead) > MAX_DRIFT_SECONDS:
        side = "ahead of" if clocks.host_ahead > 0 else "behind"
        text = (
            f"This host's clock is {span(abs(clocks.host_ahead))} {side} the database's: check the time service "
            "of both hosts."
        )
        yield Alert(Level.WARNING, Code.CLOCKS_DIFFER, text)


def _of_database(rewind: Rewind | None, replication: Replication, durability: Durability) -> Iterator[Alert]:
    if rewind is not None:
        text = (
            f"The database lacks entries of the journal: it ended at {rewind.seq:,}, "
            f"{rewind.known_seq:,} is known. Nothing is sent. "
            "Put the right server back, or accept the loss: gateway accept-rewind."
        )
        yield Alert(Level.CRITICAL, Code.DATABASE_REWOUND, text)
    if replication.shortfall and (durability == "replicated" or replication.standbys):
        level = Level.CRITICAL if durability == "replicated" else Level.WARNING
        text = f"What is acknowledged is on one server only: {replication.shortfall}."
        yield Alert(level, Code.COMMITS_LOCAL, text)


def _of_link(link: LinkState, now: datetime, down_after_seconds: float) -> Iterator[Alert]:
    waiting = f" {_count(link.queued, 'text')} waiting." if link.queued else ""
    attempts = _attempts(link, now)
    seconds = (now - link.since).total_seconds()
    if link.bound:
        yield from _of_bound_link(link, now, waiting)
    if link.bound >= link.sessions:
        return
    if link.bound:
        text = f"{link.link}: {link.bound} of {link.sessions} sessions bound for {span(seconds)}.{attempts}"
        yield Alert(Level.WARNING, Code.SESSIONS_MISSING, text)
    elif link.node is None:
        yield Alert(
            Level.CRITICAL, Code.LINK_DOWN, f"{link.link}: no living process holds the link. Start one.{waiting}"
        )
    elif link.bind_failure in _CREDENTIALS:
        text = f"{link.link}: the SMSC refuses our system_id or password: settle it with the operator."
        yield Alert(Level.CRITICAL, Code.CREDENTIALS_REFUSED, text + attempts + waiting)
    elif link.bind_failure == _BIND_FAILED:
        text = f"{link.link}: the SMSC refuses the bind: a denied host, one session too many or a stale bind."
        yield Alert(Level.CRITICAL, Code.BIND_REFUSED, text + attempts + waiting)
    else:  # `ready` and /readyz tell of it from the first second on: so does an alert
        level = Level.CRITICAL if seconds > down_after_seconds else Level.WARNING
        text = f"{link.link}: no session bound for {span(max(seconds, 0))}."
        yield Alert(level, Code.LINK_DOWN, text + attempts + waiting)


def _attempts(link: LinkState, now: datetime) -> str:
    """What came of the last attempt to bind, and when the next one is."""
    if link.bind_failure is None or link.next_bind_at is None:
        return ""
    seconds = (link.next_bind_at - now).total_seconds()
    if seconds <= 0:
        return f" Last attempt: {link.bind_failure}; another one is under way."
    return (
        f" Last attempt: {link.bind_failure}; the next one in {span(seconds)} or by gateway bind-now {link.link}."
    )


def _of_bound_link(link: LinkState, now: datetime, waiting: str) -> Iterator[Alert]:
    if link.stopped is not None:
        since = span((now - (link.stopped_at or now)).total_seconds())
        text = (
            f"{link.link}: the SMSC has refused whatever is sent with {link.stopped} for {since}: "
            f"settle it with the operator. A segment is tried at intervals.{waiting}"
        )
        yield Alert(Level.CRITICAL, Code.LINK_STOPPED, text)
    elif link.unaccepted_since is not None:
        silent = span((now - link.unaccepted_since).total_seconds())
        text = (
            f"{link.link}: bound, nothing accepted for {silent}: the SMSC throttles, is busy or does not respond. "
            "Ask the operator."
        )
        yield Alert(Level.CRITICAL, Code.NOTHING_ACCEPTED, text + waiting)
    if link.needed_timeout_seconds is not None:
        needed = f"{link.needed_timeout_seconds:.0f}s"
        text = f"{link.link}: responses come late: set response_timeout to {needed} or more."
        yield Alert(Level.WARNING, Code.RESPONSES_LATE, text)


def _of_held(held: HeldByLink) -> Alert:
    """One alert for all replies of an operator's numbers by a link: where there are several, the base lags."""
    replies = "1 reply is" if held.replies == 1 else f"{held.replies:,} replies are"
    numbers = "1 number" if held.numbers == 1 else f"{held.numbers:,} numbers"
    text = (
        f"{held.link}: {replies} held, {held.recent:,} of the last day, from {numbers} that the MCB assigns to "
        f"{held.operator}: the base may lag. Somebody has to decide."
    )
    return Alert(Level.WARNING, Code.REPLIES_HELD, text, f"{held.link}, {held.operator}")


def _of_queue(queue: QueueState, paused: Container[str]) -> Iterator[Alert]:
    oldest = f"the oldest for {span(queue.seconds)}."
    match queue.queue:
        case "journal" if queue.seconds > MAX_JOURNAL_SECONDS:
            text = f"{queue.depth:,} journal entries wait for their place in the chain, {oldest}"
            yield Alert(Level.WARNING, Code.JOURNAL_LATE, text)
        case "statuses" if queue.seconds > MAX_STATUSES_SECONDS:
            text = f"{queue.depth:,} statuses wait for SDU, {oldest} Ask those who run it."
            yield Alert(Level.WARNING, Code.STATUSES_LATE, text)
        case "statuses" if queue.failing >= FAILING_FROM and "sdu" not in paused:
            failed = f"SDU is failing: {queue.failing:,} pushes in a row. {queue.depth:,} statuses wait"
            yield Alert(Level.WARNING, Code.STATUSES_LATE, f"{failed}, {oldest} Ask those who run it.")
        case "lookup" | "voucher" if queue.failing:
            partner, calls = _PARTNERS[queue.queue], _CALLS[queue.queue]
            tried = f"{calls} have been tried {FAILING_FROM} times or more, {oldest}"
            text = f"{partner} is failing: {tried} Ask those who run it."
            yield Alert(Level.WARNING, Code.CALLS_FAILING, text, queue.queue)
        case "voucher" if queue.seconds > MAX_VOUCHERS_SECONDS:
            text = f"{queue.depth:,} consents wait for their voucher, {oldest} Ask those who run the wallet."
            yield Alert(Level.WARNING, Code.VOUCHERS_LATE, text)


def span(seconds: float) -> str:
    """A length of time in one number and its unit."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing} is" if number == 1 else f"{number:,} {thing}s are"
