"""Alerts for the person on duty: pure, from what the overview has read."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import orjson
from smpplib import consts

from gateway.api.sentences import NOTHING, Fields, Said, in_english, said_in
from gateway.clock import MAX_DRIFT_SECONDS
from gateway.config.model import Durability
from gateway.partners.responses import FailureKind
from gateway.smpp import status
from gateway.store.alert_history import SeenAlert
from gateway.store.held_replies import HeldByLink
from gateway.store.queues import FAILING_FROM
from gateway.store.replication import Replication
from gateway.store.rewinds import Rewind

MAX_JOURNAL_SECONDS = 60.0
"""The longest that an entry may wait to be sealed; 0.2 is usual."""
MAX_STATUSES_SECONDS = 300.0
"""The time in which SDU should have accepted a status pushed to it."""
MAX_VOUCHERS_SECONDS = 900.0
"""The time in which the wallet should have responded for a consent."""

_CREDENTIALS = frozenset(map(status.name, status.REFUSED_CREDENTIALS))
_BIND_FAILED = status.name(consts.SMPP_ESME_RBINDFAIL)
_SECTIONS = {"lookup": "mcb", "voucher": "wallet", "sdu": "sdu"}  # of config.toml


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
    BUSINESS_TIME_STOPPED = "business_time_stopped"


SEEN_BY_ONE = frozenset({Code.JOURNAL_BROKEN, Code.PARTNER_PAUSED, Code.CALLS_FAILING, Code.STATUSES_LATE})
"""Alerts that only the process with the checks or the calls can see; the others show what it has noted."""


@dataclass(frozen=True, slots=True)
class Alert:
    level: Level
    code: Code
    text: str  # in English, without personal data
    about: str = field(default="", compare=False)  # the link, partner or queue; "": the gateway as a whole
    sentences: Sequence[str] = field(default=(), compare=False)  # keys of SENTENCES, of which `text` is made
    fields: Fields = field(default_factory=dict, compare=False)  # that are in them


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
    standing: int  # for how long business time is stopped until the database's clock has caught up
    step: int = 0  # by which the database's clock was set ahead (below 0: back), and is not followed yet


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
    silent: Mapping[str, float],
    clocks: Clocks,
    disk_full: bool,
    parked: int,
    journal_faults: int,
    now: datetime,
    down_after_seconds: float,
) -> list[Alert]:
    """The alerts, the critical first; `now` is real time.

    A link without a session is a warning at first, and critical after `down_after_seconds`. `silent`: the partners
    that do not respond, and for how many seconds.
    """
    found: list[Alert] = [*_of_database(rewind, replication, durability)]
    if disk_full:
        found.append(_alert(Level.CRITICAL, Code.DISK_FULL, "disk_full"))
    if journal_faults:
        found.append(_alert(Level.CRITICAL, Code.JOURNAL_BROKEN, "journal_broken"))
    found += _of_clocks(clocks)
    for link in links:
        found += [replace(alert, about=link.link) for alert in _of_link(link, now, down_after_seconds)]
    found += [_of_paused(partner) for partner in paused]
    told = {partner.kind for partner in paused}
    for queue in queues:
        found += _of_queue(queue, told, {kind: seconds for kind, seconds in silent.items() if kind not in told})
    if parked:
        said = "case_parked" if parked == 1 else "cases_parked"
        found.append(_alert(Level.WARNING, Code.CASES_PARKED, said, fields={"cases": parked}))
    found += [_of_held(one) for one in held if one.open or one.recent]
    return _critical_first(found)


def with_noted(own: Collection[Alert], noted: Iterable[Alert]) -> list[Alert]:
    """The alerts of this process, and those that only another one sees; the critical first."""
    known = {(alert.code, alert.about) for alert in own}
    return _critical_first([*own, *(one for one in noted if (one.code, one.about) not in known)])


def as_noted(alert: Alert) -> SeenAlert:
    """The alert as other processes and the history read it."""
    fields = orjson.dumps(alert.fields).decode()
    return SeenAlert(alert.code, alert.about, alert.level, alert.text, alert.sentences, fields)


def of_noted(noted: SeenAlert) -> Alert:
    """The alert that another process sees."""
    said = said_in(noted.text, noted.sentences, noted.fields)
    return Alert(Level(noted.level), Code(noted.code), noted.text, noted.about, *said)


def _critical_first(found: Iterable[Alert]) -> list[Alert]:
    return sorted(found, key=lambda alert: list(Level).index(alert.level))


def _alert(level: Level, code: Code, *sentences: str, about: str = "", fields: Fields | None = None) -> Alert:
    """An alert of these sentences, which have these fields."""
    fields = fields or {}
    return Alert(level, code, in_english(sentences, fields), about, sentences, fields)


def database_away(why: str, *, exhausted: bool, read_at: str) -> Alert:
    """The alert of a database that could not be read now; the rest of the overview is of `read_at`."""
    cause = "pool_exhausted" if exhausted else "database_away"
    return _alert(Level.CRITICAL, Code.DATABASE_AWAY, cause, "shown_of", fields={"error": why, "read_at": read_at})


def _of_clocks(clocks: Clocks) -> Iterator[Alert]:
    if clocks.standing > MAX_DRIFT_SECONDS:
        yield _alert(
            Level.WARNING,
            Code.BUSINESS_TIME_STOPPED,
            "business_time_stopped",
            fields={"for_seconds": clocks.standing},
        )
    if abs(clocks.step) > MAX_DRIFT_SECONDS:
        way = "clock_set_ahead" if clocks.step > 0 else "clock_set_back"
        yield _alert(Level.WARNING, Code.CLOCKS_DIFFER, way, fields={"by_seconds": abs(clocks.step)})
    elif abs(clocks.host_ahead) > MAX_DRIFT_SECONDS:
        side = "clock_ahead" if clocks.host_ahead > 0 else "clock_behind"
        yield _alert(Level.WARNING, Code.CLOCKS_DIFFER, side, fields={"by_seconds": abs(clocks.host_ahead)})


def _of_database(rewind: Rewind | None, replication: Replication, durability: Durability) -> Iterator[Alert]:
    if rewind is not None:
        fields = {"seq": rewind.seq, "known_seq": rewind.known_seq}
        yield _alert(Level.CRITICAL, Code.DATABASE_REWOUND, "database_rewound", fields=fields)
    if replication.shortfall and (durability == "replicated" or replication.standbys):
        level = Level.CRITICAL if durability == "replicated" else Level.WARNING
        yield _alert(level, Code.COMMITS_LOCAL, f"commits_local_{replication.shortfall_kind}")


def _of_link(link: LinkState, now: datetime, down_after_seconds: float) -> Iterator[Alert]:
    waiting = _waiting(link.queued)
    seconds = (now - link.since).total_seconds()
    if link.bound:
        yield from _of_bound_link(link, now, waiting)
    if link.bound >= link.sessions:
        return
    attempt = NOTHING if link.node is None else _attempt(link, now)
    first: dict[str, str | float] = {"link": link.link}
    if link.bound:
        level, code, said = Level.WARNING, Code.SESSIONS_MISSING, "sessions_missing"
        first |= {"bound": link.bound, "sessions": link.sessions, "for_seconds": seconds}
        waiting = NOTHING
    elif link.node is None:
        level, code, said = Level.CRITICAL, Code.LINK_DOWN, "link_without_process"
    elif link.bind_failure in _CREDENTIALS:
        level, code, said = Level.CRITICAL, Code.CREDENTIALS_REFUSED, "credentials_refused"
    elif link.bind_failure == _BIND_FAILED:
        level, code, said = Level.CRITICAL, Code.BIND_REFUSED, "bind_refused"
    else:  # `ready` and /readyz tell of it from the first second on: so does an alert
        level = Level.CRITICAL if seconds > down_after_seconds else Level.WARNING
        code, said = Code.LINK_DOWN, "link_down"
        first |= {"for_seconds": max(seconds, 0)}
    sentences = (said, *attempt.sentences, *waiting.sentences)
    yield _alert(level, code, *sentences, fields={**first, **attempt.fields, **waiting.fields})


def _waiting(texts: int) -> Said:
    if not texts:
        return NOTHING
    return Said(("text_waiting" if texts == 1 else "texts_waiting",), {"texts": texts})


def _attempt(link: LinkState, now: datetime) -> Said:
    """What came of the last attempt to bind, and when the next one is."""
    if link.bind_failure is None or link.next_bind_at is None:
        return NOTHING
    seconds = (link.next_bind_at - now).total_seconds()
    if seconds <= 0:
        return Said(("attempt_under_way",), {"failure": link.bind_failure})
    return Said(("next_attempt",), {"failure": link.bind_failure, "next_seconds": seconds})


def _of_bound_link(link: LinkState, now: datetime, waiting: Said) -> Iterator[Alert]:
    code, fields = None, dict[str, str | float](link=link.link)
    if link.stopped is not None:
        code, since = Code.LINK_STOPPED, link.stopped_at or now
        fields |= {"status": link.stopped}
    elif link.unaccepted_since is not None:
        code, since = Code.NOTHING_ACCEPTED, link.unaccepted_since
    if code is not None:
        fields |= {"for_seconds": (now - since).total_seconds()}
        yield _alert(Level.CRITICAL, code, str(code), *waiting.sentences, fields={**fields, **waiting.fields})
    if link.needed_timeout_seconds is not None:
        needed = f"{link.needed_timeout_seconds:.0f}s"
        yield _alert(
            Level.WARNING, Code.RESPONSES_LATE, "responses_late", fields={"link": link.link, "needed": needed}
        )


def _of_held(held: HeldByLink) -> Alert:
    """One alert for all replies of an operator's numbers by a link: where there are several, the base lags."""
    return _alert(
        Level.WARNING,
        Code.REPLIES_HELD,
        "replies_held",
        about=f"{held.link}, {held.operator}",
        fields={
            "link": held.link,
            "operator": held.operator,
            "replies": held.replies,
            "recent": held.recent,
            "numbers": held.numbers,
        },
    )


def _of_paused(partner: PausedPartner) -> Alert:
    said = f"paused_{partner.why}"
    fields: Fields = {"partner": partner.kind}
    if partner.why in (FailureKind.CREDENTIALS, FailureKind.ADDRESS):
        fields = {**fields, "section": _SECTIONS[partner.kind]}
    return _alert(Level.CRITICAL, Code.PARTNER_PAUSED, said, about=partner.kind, fields=fields)


def _of_queue(queue: QueueState, paused: Container[str], silent: Mapping[str, float]) -> Iterator[Alert]:
    """At most one: a partner that is paused has its alert, one that is silent or failing has a code of its own."""
    partner = "sdu" if queue.queue == "statuses" else queue.queue
    waits: dict[str, str | float] = {"waiting": queue.depth, "oldest_seconds": queue.seconds}
    match queue.queue:
        case "journal" if queue.seconds > MAX_JOURNAL_SECONDS:
            yield _alert(Level.WARNING, Code.JOURNAL_LATE, "journal_late", fields=waits)
        case "statuses" if queue.seconds > MAX_STATUSES_SECONDS:
            yield _alert(Level.WARNING, Code.STATUSES_LATE, "statuses_late", fields=waits)
        case "statuses" if queue.depth and partner in silent:
            fields = waits | {"partner": partner, "silent_seconds": silent[partner]}
            yield _alert(Level.WARNING, Code.STATUSES_LATE, "sdu_silent", fields=fields)
        case "statuses" if queue.failing >= FAILING_FROM and partner not in paused:
            fields = waits | {"partner": partner, "pushes": queue.failing}
            yield _alert(Level.WARNING, Code.STATUSES_LATE, "sdu_failing", fields=fields)
        case "lookup" | "voucher" if queue.depth and partner in silent:
            fields = waits | {"partner": partner, "silent_seconds": silent[partner]}
            yield _alert(Level.WARNING, Code.CALLS_FAILING, "partner_silent", about=partner, fields=fields)
        case "lookup" | "voucher" if queue.failing and partner not in paused:
            fields = {"partner": partner, "times": FAILING_FROM, "oldest_seconds": queue.seconds}
            yield _alert(Level.WARNING, Code.CALLS_FAILING, "calls_failing", about=partner, fields=fields)
        case "voucher" if queue.seconds > MAX_VOUCHERS_SECONDS:
            yield _alert(Level.WARNING, Code.VOUCHERS_LATE, "vouchers_late", fields=waits)
