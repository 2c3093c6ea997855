"""A disk without free space is a metric from then on, and one line of the log."""

from collections.abc import Iterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from gateway.metrics import DISK_FULL
from gateway.store.database import Database
from gateway.store.disk import DiskSpace, Space
from gateway.usecases.disk_check import DiskCheck
from tests.harness import metric


@pytest.fixture(autouse=True)
def _room_again() -> Iterator[None]:
    yield
    DISK_FULL.set(0)


async def test_an_embedded_disk_below_its_reserve_is_logged_once_until_it_has_room(database: Database) -> None:
    space = Space(total_bytes=1000, free_bytes=50)
    check = DiskCheck(DiskSpace(lambda: space), database)
    logged, full = [], []
    with capture_logs() as lines:
        for free_bytes in (50, 49, 0, 50, 49):
            space = Space(1000, free_bytes)
            await check.run()
            full.append(metric("disk_full"))
            logged.append(len(lines))
    assert (full, logged) == ([0, 1, 1, 0, 1], [0, 1, 1, 1, 2])
    assert lines[0] == {
        "event": "disk_space_low", "log_level": "warning", "free_bytes": 49, "needed_bytes": 50,
    }  # fmt: skip


async def test_a_disk_that_cannot_be_measured_is_full_once_the_server_says_so(database: Database) -> None:
    disk = DiskSpace(lambda: None)
    check = DiskCheck(disk, database)
    with capture_logs() as lines:
        await check.run()
        assert metric("disk_full") == 0
        for _ in range(2):
            with pytest.raises(asyncpg.DiskFullError):
                async with database.acquire() as connection:
                    await connection.execute("DO $$ BEGIN RAISE disk_full; END $$")
            await check.run()
            assert metric("disk_full") == 1
    assert [line["event"] for line in lines] == ["database_disk_full"]


async def test_a_disk_that_was_full_has_room_when_no_statement_was_rejected_for_a_while(
    database: Database,
) -> None:
    check = DiskCheck(DiskSpace(lambda: None), database, full_for_seconds=0.0)
    with pytest.raises(asyncpg.DiskFullError):
        async with database.acquire() as connection:
            await connection.execute("DO $$ BEGIN RAISE disk_full; END $$")
    await check.run()
    assert metric("disk_full") == 0
