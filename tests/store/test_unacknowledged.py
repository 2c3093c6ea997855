"""Unacknowledged periods: stored, merged, added for evicted nodes, deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from gateway.consent.redelivery import MAX_COMPARED
from gateway.store import inbound, nodes, unacknowledged
from gateway.store.database import Connection, Database
from tests.store.rows import AN_HOUR, FOREVER, add_case

_INSERT = """
INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict,
                     normalised, rule_version, received_at, arrived_at)
VALUES ($1, $2, $3, '1414', $4, 0, '', 'agree', false, '1', now(), clock_timestamp() - make_interval(secs => $5))
"""
ALIYA, BERIK = "77010000001", "77010000002"


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        for case_id in "abcdef":
            await add_case(connection, case_id)
        yield connection


async def periods(connection: Connection) -> list[tuple[str, int, int]]:
    """(link, seconds since its beginning, seconds since its end) of each period, to the second."""
    return [
        (row["link"], round(row["began"]), round(row["ended"]))
        for row in await connection.fetch(
            """SELECT link, extract(epoch FROM clock_timestamp() - began_at)::float8 AS began,
                      extract(epoch FROM clock_timestamp() - ended_at)::float8 AS ended
               FROM unacknowledged_periods ORDER BY link, began_at"""
        )
    ]


async def test_overlapping_unacknowledged_periods_are_merged(connection: Connection) -> None:
    await unacknowledged.note(connection, "kcell", 100, 60)
    await unacknowledged.note(connection, "kcell", 70, 30)
    await unacknowledged.note(connection, "kcell", 20, 10)
    await unacknowledged.note(connection, "beeline", 70, 30)
    assert await periods(connection) == [("beeline", 70, 30), ("kcell", 100, 30), ("kcell", 20, 10)]


async def test_equal_replies_are_found_newest_first_with_their_unacknowledged_flag(connection: Connection) -> None:
    for case_id, link, sender, octets, ago in (
        ("a", "kcell", ALIYA, b"3#1", 50),
        ("b", "kcell", ALIYA, b"3#1", 10),
        ("c", "beeline", ALIYA, b"3#1", 45),
        ("d", "kcell", ALIYA, b"3#2", 50),
        ("e", "kcell", BERIK, b"3#1", 50),
        ("f", "beeline", ALIYA, b"3#1", 1),
    ):
        await connection.execute(_INSERT, case_id, link, sender, octets, float(ago))
    await unacknowledged.note(connection, "kcell", 60, 40)
    found = await inbound.similar(connection, {(ALIYA, b"3#1"), (BERIK, b"3#2")}, FOREVER)
    assert [(reply.case_id, reply.unacknowledged, reply.is_recent) for reply in found] == [
        ("f", False, True),
        ("b", False, False),
        ("c", False, False),
        ("a", True, False),
    ]


async def test_of_50_000_equal_replies_only_the_newest_are_read_by_index(connection: Connection) -> None:
    """However many redeliveries an SMSC sends: replies of other numbers wait for the comparison."""
    await connection.execute(
        """INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, opened_at,
                              state)
           SELECT 'case-' || n, 'list', 'case-' || n, '3', 1, 'kk', '131106697007', now(), 'refused'
           FROM generate_series(1, 50000) AS n"""
    )
    await connection.execute(
        """INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time,
                                verdict, normalised, rule_version, received_at, arrived_at)
           SELECT 'case-' || n, 'kcell', $1, '1414', CASE WHEN n % 2 = 0 THEN '3#1' ELSE n::text END::bytea, 0, '',
                  'agree', false, '1', now(), clock_timestamp() - make_interval(secs => n)
           FROM generate_series(1, 50000) AS n""",
        ALIYA,
    )
    await connection.execute("ANALYZE replies")
    found = await inbound.similar(connection, {(ALIYA, b"3#1")}, FOREVER)
    assert [reply.case_id for reply in found] == [f"case-{n}" for n in range(2, 2 * MAX_COMPARED + 1, 2)]
    plan = await connection.fetch(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) " + inbound._SIMILAR,
        [(ALIYA, b"3#1")],
        2.0,
        1e6,
        MAX_COMPARED,
        FOREVER,
    )
    assert any("replies_alike" in row[0] for row in plan)
    assert not any("Seq Scan on replies" in row[0] or "Sort " in row[0] for row in plan)


@pytest.mark.parametrize(("seen", "began"), [(-20.0, 80), (-900.0, 960), (3600.0, 60)])
async def test_the_last_acknowledgements_of_an_evicted_node_are_an_unacknowledged_period(
    connection: Connection, database_url: str, seen: float, began: int
) -> None:
    """From its last heartbeat on, also when the database was away since, or its clock was put back."""
    other = await asyncpg.connect(database_url)
    await nodes.join(other, "expired", "expired", ["kcell", "beeline"])
    assert await nodes.claim_links(other, "expired", ["kcell"]) == ["kcell"]
    await other.close()
    await connection.execute("UPDATE nodes SET seen_at = clock_timestamp() + make_interval(secs => $1)", seen)
    expired = await nodes.others(connection, "survivor")
    evicted, _ = await nodes.evict_expired(
        connection, expired, loss_detection_seconds=60.0, pause_after_copy=AN_HOUR
    )
    assert evicted == ["expired"]
    assert await periods(connection) == [("kcell", began, 0)]


async def test_unacknowledged_periods_without_possible_redeliveries_are_deleted(connection: Connection) -> None:
    await unacknowledged.note(
        connection,
        "kcell",
        unacknowledged.REDELIVERY_WITHIN_SECONDS + 20,
        unacknowledged.REDELIVERY_WITHIN_SECONDS + 10,
    )
    await unacknowledged.note(connection, "kcell", 20, 10)
    await unacknowledged.expire(connection, FOREVER)
    assert await periods(connection) == [("kcell", 20, 10)]


async def test_a_database_clock_that_steps_ahead_makes_no_redelivered_reply_a_new_one(
    connection: Connection,
) -> None:
    """Real time without steps is a month behind the database's clock: periods and earlier replies still count."""
    steady = datetime.now(UTC) - timedelta(days=30)
    await connection.execute(_INSERT, "a", "kcell", ALIYA, b"3#1", 30 * 86_400.0 + 60)
    await unacknowledged.note(connection, "kcell", 30 * 86_400 + 90, 30 * 86_400 + 30)
    await unacknowledged.expire(connection, steady)
    found = await inbound.similar(connection, {(ALIYA, b"3#1")}, steady)
    assert [(reply.case_id, reply.unacknowledged) for reply in found] == [("a", True)]
