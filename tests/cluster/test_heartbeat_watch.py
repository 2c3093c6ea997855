"""Which processes expire: by the heartbeats that another one has seen, and by locks that say something."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from gateway.cluster.heartbeat_watch import HeartbeatWatch
from gateway.config.policy import MembershipPolicy
from gateway.store.nodes import OtherNode

POLICY = MembershipPolicy(heartbeat_seconds=2.0, expired_after_seconds=10.0, reconnect_seconds=2.0)
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def other(heartbeat: int, *, unlocked: bool = False, here: bool = True, since: datetime = NOON) -> OtherNode:
    """A process at its nth heartbeat."""
    seen_at = since + timedelta(seconds=2 * heartbeat)
    return OtherNode("other", seen_at, ["kcell"], on_this_server=here, is_unlocked=unlocked)


def watch(*, is_first_connection: bool = True) -> HeartbeatWatch:
    return HeartbeatWatch(POLICY, is_first_connection=is_first_connection)


def expired(watch: HeartbeatWatch, node: OtherNode, seconds: Iterable[float]) -> list[float]:
    """The instants of our own heartbeats at which a process that stays as it is has expired."""
    return [now for now in seconds if watch.observe(now, [node])]


def test_a_process_whose_heartbeat_moves_does_not_expire() -> None:
    seen = watch()
    assert [seen.observe(2.0 * n, [other(n // 4)]) for n in range(40)] == [[]] * 40


@pytest.mark.parametrize("since", [NOON, NOON - timedelta(days=365), NOON + timedelta(days=365)])
def test_a_process_expires_after_ten_seconds_of_our_heartbeats_whatever_the_clocks_say(since: datetime) -> None:
    assert expired(watch(), other(0, since=since), range(100, 121, 2)) == [110, 112, 114, 116, 118, 120]


@pytest.mark.parametrize("gap", [6, 60, 86_400])
def test_the_ten_seconds_to_expiry_restart_after_a_gap_in_our_own_heartbeats(gap: int) -> None:
    seen = watch()
    assert expired(seen, other(0), [0, 2, 4, 6, 8]) == []
    assert expired(seen, other(0), range(8 + gap, 8 + gap + 10, 2)) == []
    assert expired(seen, other(0), [8 + gap + 10]) == [8 + gap + 10]


def test_a_gap_of_our_own_heartbeats_leaves_no_free_lock_counted_from_before_it() -> None:
    seen = watch()
    assert expired(seen, other(0, unlocked=True), [0, 60]) == []
    assert expired(seen, other(0, unlocked=True), [62]) == [62]


def test_a_killed_process_expires_soon_after_its_lock_is_free() -> None:
    seen = watch(is_first_connection=False)
    assert seen.observe(0.0, [other(0)]) == seen.observe(2.0, [other(1)]) == []
    assert expired(seen, other(1, unlocked=True), [4, 6]) == [6]


def test_a_process_that_was_killed_before_this_one_joined_expires_soon() -> None:
    assert expired(watch(), other(0, unlocked=True), [0, 2]) == [2]


def test_a_free_lock_of_a_process_that_went_to_another_run_of_the_server_says_nothing() -> None:
    """The server was restarted, or a standby was promoted that has been up for weeks."""
    assert expired(watch(), other(0, unlocked=True, here=False), range(0, 12, 2)) == [10]


def test_no_free_lock_counts_after_our_own_connection_was_lost_until_its_heartbeat_moves() -> None:
    """PostgreSQL restarts all sessions after a crash of one, and the server goes on."""
    seen = watch(is_first_connection=False)
    assert expired(seen, other(0, unlocked=True), [0, 2, 4]) == []
    assert seen.observe(6.0, [other(1)]) == []
    assert expired(seen, other(1, unlocked=True), [8, 10]) == [10]


def test_a_process_that_has_lost_its_connection_alone_gets_time_to_reconnect() -> None:
    seen = watch()
    assert expired(seen, other(0, unlocked=True), [0]) == []
    assert expired(seen, other(0), [2]) == []
    assert expired(seen, other(0, unlocked=True), [4]) == []
    assert expired(seen, other(1), [6, 8]) == []


def test_a_process_that_joins_again_under_another_id_does_not_prolong_the_first() -> None:
    seen = watch()
    new = other(0)._replace(node="new")
    assert [seen.observe(2.0 * n, [other(0), new]) for n in range(5)] == [[]] * 5
    assert seen.observe(10.0, [other(0), new._replace(seen_at=NOON + timedelta(seconds=1))]) == [other(0)]


def test_heartbeats_go_on_while_they_are_seen_to_move() -> None:
    seen = watch()
    seen.observe(0.0, [other(0)])
    assert list(seen.moving(0.0)) == []
    seen.observe(2.0, [other(1)])
    assert list(seen.moving(2.0)) == ["other"]
    seen.observe(6.0, [other(1)])
    assert list(seen.moving(6.0)) == ["other"]
    seen.observe(8.0, [other(1)])
    assert list(seen.moving(8.0)) == []
    seen.observe(60.0, [other(1)])
    assert list(seen.moving(60.0)) == []
