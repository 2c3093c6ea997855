"""A database whose default isolation level is another one than the gateway's."""

import asyncio
import json

import pytest

from gateway.store.locks import Lock, lock_session
from tests.harness import Family, Harness, harness

__all__ = ["harness"]

WITHIN_SECONDS = 30
_WAITING = "SELECT count(*) FROM pg_locks, pg_sleep(0.02) WHERE locktype = 'advisory' AND NOT granted"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_two_lists_pushed_at_once_ask_the_same_parent_once_whatever_the_default_level_is(
    harness: Harness, level: str
) -> None:
    """Both wait for the turn of a list; the second one must see what the first one has committed."""
    name = await harness.connection.fetchval("SELECT current_database()")
    await harness.connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    await harness.start()
    families = [Family(n=n) for n in range(1, 4)]
    harness.know(families)
    await lock_session(harness.connection, Lock.ACCEPT)
    pushes = [asyncio.create_task(_push(harness, f"list-{n}", families)) for n in (1, 2)]
    async with asyncio.timeout(WITHIN_SECONDS):
        while await harness.connection.fetchval(_WAITING) < len(pushes):
            pass
    await harness.connection.execute("SELECT pg_advisory_unlock_all()")
    responses = await asyncio.gather(*pushes)
    assert [status for status, _ in responses] == [201, 201]
    assert sorted(body["accepted"] for _, body in responses) == [0, len(families)]
    for family in families:
        await harness.status(family, "asked")
    assert await harness.connection.fetchval("SELECT count(*) FROM cases") == len(families)


async def _push(harness: Harness, list_id: str, families: list[Family]) -> tuple[int, dict[str, int]]:
    lines = b"".join(json.dumps(family.record()).encode() + b"\n" for family in families)
    headers = {"Content-Type": "application/x-ndjson"}
    return await harness.request("PUT", f"/v1/lists/{list_id}", role="sdu", data=lines, headers=headers)
