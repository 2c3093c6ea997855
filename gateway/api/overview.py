"""The state of the gateway in one object, for the console: of the database, and of this process's counters."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from gateway import metrics
from gateway.api.alerts import (
    SEEN_BY_ONE,
    Alert,
    Clocks,
    LinkState,
    PausedPartner,
    QueueState,
    alerts,
    database_away,
    of_noted,
    with_noted,
)
from gateway.api.lists import shown_progress
from gateway.api.partners import PARTNER_SAMPLES, shown_partners
from gateway.clock import Clock
from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.config.model import Durability, Link
from gateway.consent.case import State
from gateway.consent.deadlines import Calendar
from gateway.smpp import status
from gateway.smpp.status import StatusKind
from gateway.store import alert_history, held_replies, journal, lists, queues, replication, rewinds
from gateway.store.database import Database
from gateway.store.held_replies import HeldByLink
from gateway.store.lists import StoredList
from gateway.store.queues import HeldLink, Node, Queue
from gateway.store.replication import Replication
from gateway.store.rewinds import Rewind

MAX_LISTS = 20
"""The number of latest lists that are shown with their progress."""
MAX_NOTED = 100_000

# Names of samples of metrics.py.
_SEGMENTS = "gateway_segments_total"
_CHECKED = "gateway_journal_checked_total"
_FAULTS = "gateway_journal_faults_total"
_UNKNOWN_STATES = "gateway_receipts_unknown_total"
_NOT_FINAL = "gateway_receipts_not_final_total"
_PAUSED = "gateway_partner_paused"
_CLOCK_DRIFT = "gateway_clock_drift_seconds"
_DISK_FULL = "gateway_disk_full"
_PARTNER_FAILURES = "gateway_partner_failures"
_SILENT = "gateway_partner_silent_seconds"
_OUTCOMES = tuple(kind.value for kind in StatusKind)

_Counted = Mapping[tuple[str, ...], int]


class _Gathered(NamedTuple):
    """What was read from the database."""

    waiting: queues.Waiting
    held_replies: Sequence[HeldByLink]
    failing: Mapping[str, int]
    held: Mapping[str, HeldLink]
    nodes: Sequence[Node]
    mean_segments: Mapping[str, float]
    lists: Sequence[StoredList]
    progress: Mapping[str, dict[str, int]]
    head: tuple[int, str, datetime]
    rewind: Rewind | None
    replication: Replication
    noted: Sequence[Alert]  # by any process, of those SEEN_BY_ONE


class Overview:
    """Makes the overview. Its cost does not grow with the number of ended cases.

    While the database does not respond it is the last one that was made, with the alert that says so.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        calendar: Calendar,
        node: str,
        links: Sequence[Link],
        partners: Collection[str],
        durability: Durability,
        down_after_seconds: float,
        silent_after_seconds: float,
        timeout_seconds: float,
    ) -> None:
        """`partners`: those that this process calls, `lookup`, `voucher`, `sdu`; without the last SDU pulls.

        `timeout_seconds` is for the database to respond.
        """
        self._database = database
        self._clock = clock
        self._calendar = calendar
        self._node = node
        self._links = {link.name: link for link in links}
        self._partners = partners
        self._durability = durability
        self._down_after_seconds = down_after_seconds
        self._silent_after_seconds = silent_after_seconds
        self._timeout_seconds = timeout_seconds
        self._last: dict[str, Any] | None = None

    async def alerts(self) -> list[Alert]:
        """What is wrong now, as this process sees it; of a queue MAX_NOTED rows are counted: it is asked often."""
        gathered, counted = await self._gather(MAX_NOTED), _counted()
        self._last = self._shown(gathered, counted)
        return self._alerts(gathered, counted)

    async def make(self) -> dict[str, Any]:
        """The overview. Raises what the database raises where none was made yet."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                gathered = await self._gather()
        except TRANSIENT_ERRORS as error:
            if self._last is None:
                raise
            return self._without_database(self._last, type(error).__name__)
        self._last = self._shown(gathered, _counted())
        return self._last

    def _without_database(self, last: dict[str, Any], why: str) -> dict[str, Any]:
        """The last overview, with the alert of a database that cannot be read before its own."""
        away = database_away(why, exhausted=self._database.exhausted, read_at=last["read_at"])
        now = self._local(self._clock.wall())
        return last | {"now": now, "ready": False, "alerts": [asdict(away), *last["alerts"]]}

    def _shown(self, gathered: _Gathered, counted: _Counted) -> dict[str, Any]:
        now, business = self._clock.wall(), self._clock.now()
        links = [self._link(link, gathered) for link in self._links.values()]
        entries, _, sealed_at = gathered.head
        return {
            "now": self._local(now),
            "read_at": self._local(now),
            "business_now": self._local(business),
            "rate": self._clock.rate,
            "answered_by": self._node,
            "clocks": _clocks(counted)._asdict(),
            "ready": gathered.rewind is None and all(link.bound for link in links),
            "window": {
                "open": self._calendar.in_window(business),
                "opens_at": self._local(self._calendar.next_opening(business)),
            },
            "alerts": [asdict(alert) for alert in with_noted(self._alerts(gathered, counted), gathered.noted)],
            "nodes": [self._shown_node(node) for node in gathered.nodes],
            "links": [self._shown_link(link, gathered, counted) for link in links],
            "partners": shown_partners(self._partners, counted, self._local),
            "queues": [asdict(self._queue(queue, gathered, counted)) for queue in self._queues(gathered)],
            "cases": shown_progress(_cases(gathered)),
            "held": [self._held(one) for one in gathered.held_replies],
            "lists": [self._list(stored, gathered.progress) for stored in gathered.lists],
            "journal": {
                "entries": entries,
                "sealed_at": self._local(sealed_at) if entries else None,
                "checked": counted.get((_CHECKED,), 0),
                "faults": counted.get((_FAULTS,), 0),
            },
        }

    def _alerts(self, gathered: _Gathered, counted: _Counted) -> list[Alert]:
        return alerts(
            [self._link(link, gathered) for link in self._links.values()],
            [self._queue(queue, gathered, counted) for queue in self._queues(gathered)],
            rewind=gathered.rewind,
            replication=gathered.replication,
            durability=self._durability,
            held=gathered.held_replies,
            paused=_paused(counted),
            silent=self._silent(counted),
            clocks=_clocks(counted),
            disk_full=counted.get((_DISK_FULL,), 0) > 0,
            parked=_cases(gathered)[State.PARKED],
            journal_faults=counted.get((_FAULTS,), 0),
            now=self._clock.wall(),
            down_after_seconds=self._down_after_seconds,
        )

    async def _gather(self, most: int = queues.MAX_COUNTED) -> _Gathered:
        async with self._database.acquire() as connection:
            stored = await lists.latest(connection, MAX_LISTS)
            return _Gathered(
                waiting=await queues.waiting(connection, most),
                held_replies=await held_replies.by_link(connection),
                failing=await queues.failing(connection),
                held={link.link: link for link in await queues.links(connection)},
                nodes=await queues.nodes(connection),
                mean_segments=await queues.mean_segments(connection),
                lists=stored,
                progress=await lists.progress_of(connection, [one.list_id for one in stored]),
                head=await journal.head(connection),
                rewind=await rewinds.unaccepted(connection),
                replication=await replication.state(connection),
                noted=[of_noted(one) for one in await alert_history.seen(connection) if one.code in SEEN_BY_ONE],
            )

    def _silent(self, counted: _Counted) -> dict[str, int]:
        """The partners that have left requests without a response for too long, and for how many seconds."""
        silent = {partner: counted.get((_SILENT, partner), 0) for partner in self._partners}
        return {partner: seconds for partner, seconds in silent.items() if seconds > self._silent_after_seconds}

    def _queues(self, gathered: _Gathered) -> list[Queue]:
        """The queues to show. Statuses that SDU pulls have none: only SDU knows its cursor."""
        return [queue for queue in gathered.waiting.queues if "sdu" in self._partners or queue.name != "statuses"]

    def _queue(self, queue: Queue, gathered: _Gathered, counted: _Counted) -> QueueState:
        pushes = counted.get((_PARTNER_FAILURES, "sdu"), 0)
        failing = pushes if queue.name == "statuses" else gathered.failing.get(queue.name, 0)
        return QueueState(queue=queue.name, depth=queue.depth, seconds=self._waited(queue.since), failing=failing)

    def _link(self, link: Link, gathered: _Gathered) -> LinkState:
        held = gathered.held[link.name]
        return LinkState(
            link=link.name,
            node=held.node,
            bound=held.bound,
            sessions=link.sessions * len(link.bind.roles),
            since=held.changed_at,
            queued=sum(queue.depth for queue in gathered.waiting.sms if queue.link == link.name),
            stopped=status.name(held.stopped_status) if held.stopped_status is not None else None,
            stopped_at=held.stopped_at,
            unaccepted_since=held.unaccepted_since,
            needed_timeout_seconds=held.needed_timeout_seconds,
            bind_failure=held.bind_failure,
            next_bind_at=held.next_bind_at,
        )

    def _shown_link(self, state: LinkState, gathered: _Gathered, counted: _Counted) -> dict[str, Any]:
        """The link with its queue, in segments and in hours at its rate, and with the segments of this process."""
        link = self._links[state.link]
        segments = round(state.queued * gathered.mean_segments.get(state.link, 0.0))
        oldest = [self._waited(queue.since) for queue in gathered.waiting.sms if queue.link == state.link]
        outcomes = {name: counted.get((_SEGMENTS, state.link, name), 0) for name in _OUTCOMES}
        unknown = _by_state(counted, _UNKNOWN_STATES, state.link)
        not_final = _by_state(counted, _NOT_FINAL, state.link)
        return {
            "link": state.link,
            "node": state.node,
            "bound": state.bound,
            "sessions": state.sessions,
            "send_window": gathered.held[state.link].send_window,
            "stopped": state.stopped,
            "unaccepted_since": self._local(state.unaccepted_since) if state.unaccepted_since else None,
            "since": self._local(state.since),
            "bind_failure": state.bind_failure,
            "next_bind_at": self._local(state.next_bind_at) if state.next_bind_at else None,
            "tps": link.tps,
            "fallback": list(link.fallback),
            "queued": state.queued,
            "segments": segments,
            "hours": round(segments / link.tps / 3600, 4) if link.tps and state.bound else None,
            "seconds": max(oldest, default=0.0),
            "counted": outcomes if state.node == self._node else None,
            "unknown_states": unknown if state.node == self._node else None,
            "not_final": not_final if state.node == self._node else None,
        }

    def _shown_node(self, node: Node) -> dict[str, Any]:
        return {
            **node._asdict(),
            "started_at": self._local(node.started_at),
            "seen_at": self._local(node.seen_at),
        }

    def _held(self, held: HeldByLink) -> dict[str, Any]:
        return {
            "link": held.link,
            "operator": held.operator,
            "cases": held.cases,
            "numbers": held.numbers,
            "replies": held.replies,
            "since": self._local(held.since),
        }

    def _list(self, stored: StoredList, progress: Mapping[str, dict[str, int]]) -> dict[str, Any]:
        return {
            "list_id": stored.list_id,
            "received_at": self._local(stored.received_at),
            "accepted": stored.accepted,
            "rejected": stored.rejected,
            "progress": shown_progress(progress[stored.list_id]),
        }

    def _waited(self, since: datetime | None) -> float:
        """Real seconds since a business instant."""
        if since is None:
            return 0.0
        return round((self._clock.wall() - self._clock.real(since)).total_seconds(), 1)

    def _local(self, at: datetime) -> str:
        return self._calendar.iso_local(at)


def _cases(gathered: _Gathered) -> Counter[str]:
    """The number of cases in each state."""
    cases = Counter[str]()
    for _, state, number in gathered.waiting.cases:
        cases[state] += number
    return cases


def _by_state(counted: _Counted, sample: str, link: str) -> dict[str, int]:
    """The link's receipts by state."""
    return {key[2]: number for key, number in counted.items() if key[:2] == (sample, link)}


def _clocks(counted: _Counted) -> Clocks:
    return Clocks._make(counted.get((_CLOCK_DRIFT, of), 0) for of in ("database", "business", "step"))


def _paused(counted: _Counted) -> list[PausedPartner]:
    return [PausedPartner(*labels) for (name, *labels), value in counted.items() if name == _PAUSED and value]


def _counted() -> dict[tuple[str, ...], int]:
    """The counters and gauges of this process, rounded, by sample and labels."""
    samples = {
        *(
            _SEGMENTS,
            _CHECKED,
            _FAULTS,
            _UNKNOWN_STATES,
            _NOT_FINAL,
            _PAUSED,
            _PARTNER_FAILURES,
            _SILENT,
            _CLOCK_DRIFT,
            _DISK_FULL,
        ),
        *PARTNER_SAMPLES,
    }
    return {
        (sample.name, *sample.labels.values()): round(sample.value)
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name in samples
    }
