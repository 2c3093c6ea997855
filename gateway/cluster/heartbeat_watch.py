"""Which other processes have expired, by the heartbeats that this process has seen. No clock but its own decides.

A process expires when its heartbeat has not moved during `expired_after_seconds` of unbroken heartbeats of our
own. While the database is away, ours are broken like all others: afterwards everybody gets the whole time to
reconnect.

The lock of a process that was killed is free at once, but so are all locks after a failover or a restart of the
database. A free lock counts only if its process has held it on the server that we are connected to: if we have
seen its heartbeat move on this connection, or, before our first connection was lost, if its last heartbeat went to
this run of the server. It must be free for `reconnect_seconds`, because a connection may be lost alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.config.policy import MembershipPolicy
from gateway.store.nodes import OtherNode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was seen of another process. Instants are monotonic seconds."""

    heartbeat: datetime
    since: float  # unmoved
    moved_at: float | None = None
    unlocked_since: float | None = None


class HeartbeatWatch:
    """The heartbeats of the other processes, seen through one connection of this one."""

    def __init__(self, policy: MembershipPolicy, *, is_first_connection: bool) -> None:
        """`is_first_connection`: this process has not lost one since it joined."""
        self._policy = policy
        self._is_first_connection = is_first_connection
        self._max_gap_seconds = policy.expired_after_seconds / 2
        self._observed_at = float("-inf")
        self._seen: dict[str, _Seen] = {}

    def observe(self, now: float, others: Sequence[OtherNode]) -> list[OtherNode]:
        """The processes that have expired. Called after each of our own heartbeats, with all other processes."""
        is_unbroken = now - self._observed_at <= self._max_gap_seconds
        self._observed_at = now
        before = self._seen if is_unbroken else _restarted(self._seen, now)
        self._seen = {other.node: _see(before.get(other.node), other, now) for other in others}
        return [other for other in others if self._has_expired(other, now)]

    def moving(self, now: float) -> Iterable[str]:
        """The processes whose heartbeats go on: no others are given links."""
        return [
            node
            for node, seen in self._seen.items()
            if seen.moved_at is not None and now - seen.moved_at <= self._max_gap_seconds
        ]

    def _has_expired(self, other: OtherNode, now: float) -> bool:
        seen = self._seen[other.node]
        if now - seen.since >= self._policy.expired_after_seconds:
            return True
        lock_counts = seen.moved_at is not None or (self._is_first_connection and other.on_this_server)
        return (
            lock_counts
            and seen.unlocked_since is not None
            and now - seen.unlocked_since >= self._policy.reconnect_seconds
        )


def _see(seen: _Seen | None, other: OtherNode, now: float) -> _Seen:
    if seen is None:
        seen = _Seen(heartbeat=other.seen_at, since=now)
    elif other.seen_at != seen.heartbeat:
        seen = _Seen(heartbeat=other.seen_at, since=now, moved_at=now)
    if not other.is_unlocked:
        return replace(seen, unlocked_since=None)
    return seen if seen.unlocked_since is not None else replace(seen, unlocked_since=now)


def _restarted(seen: dict[str, _Seen], now: float) -> dict[str, _Seen]:
    return {node: replace(one, since=now, unlocked_since=None) for node, one in seen.items()}
