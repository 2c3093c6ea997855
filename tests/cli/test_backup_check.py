"""`gateway backup-check` walks a restored copy, and changes nothing in it."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from gateway.cli import main
from gateway.consent.details import By
from gateway.consent.events import Event, EventType
from gateway.simulators.configuration import config_toml
from gateway.store import journal
from gateway.store.database import Connection
from gateway.store.migrations import migrate
from tests.store.test_journal_rows import CAMPAIGN

CONFIG = config_toml(
    http={"tokens": {"sdu": "sdu-token-of-tests", "wallet": "wallet-token-of-tests", "ops": "ops-token-of-tests"}},
    mcb={"url": "http://127.0.0.1:9", "token": "t"},
    wallet={"url": "http://127.0.0.1:9", "token": "t"},
    links=[{"name": "kcell", "port": 9, "password": "secret"}],
)
RELEASED = Event(EventType.RELEASED, By("ops"))
_COUNTS = """
SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM journal_pending), (SELECT count(*) FROM journal_tree),
       (SELECT count(*) FROM nodes), (SELECT count(*) FROM templates), (SELECT last_value FROM sms_sms_id_seq)
"""


@pytest.fixture
async def copy(bare_database_url: str) -> AsyncIterator[Connection]:
    """A campaign at the moment of a kill, migrated: as a backup has it, with entries that are not sealed."""
    connection = await asyncpg.connect(bare_database_url)
    await connection.execute(gzip.decompress(CAMPAIGN.read_bytes()).decode())
    await connection.execute("SET search_path = public")
    await migrate(connection)
    await connection.execute("SET session_replication_role = replica")  # of this superuser: no trigger stops it
    yield connection
    await connection.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


async def check(url: str, config: Path, *more: str) -> int:
    """The exit status of the command."""
    return await asyncio.to_thread(main, ["backup-check", url, "--config", str(config), *more])


async def test_a_copy_that_holds_is_shown_with_its_head_and_is_left_as_it_is(
    copy: Connection, bare_database_url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case_id = await copy.fetchval("SELECT min(case_id) FROM cases")
    await journal.append(copy, [journal.entry(datetime(2026, 11, 28, 10, tzinfo=UTC), case_id, RELEASED)])
    before = await copy.fetchrow(_COUNTS)
    assert await check(bare_database_url, config) == 0
    seq, head, _ = await journal.head(copy)
    shown = capsys.readouterr().out
    assert f"last entry: {seq} {head}, " in shown
    assert "1 with entries that are not sealed left out" in shown
    assert await copy.fetchrow(_COUNTS) == before
    assert await check(bare_database_url, config, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["head"]["seq"], found["cases_not_compared"]) == (True, seq, 1)
    cases = await copy.fetch("SELECT state, count(*) FROM cases GROUP BY state")
    counted = {one["state"]: one["cases"] for one in found["open_cases"]}
    assert counted.items() <= dict(map(tuple, cases)).items()
    assert {"looking_up", "waiting", "queued", "asked", "consented", "parked"} <= counted.keys()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DELETE FROM schema_migrations WHERE name = (SELECT max(name) FROM schema_migrations)", "migrations"),
        ("UPDATE journal SET detail = '{\"reason\": \"\"}' WHERE seq = 5", "entry 5: its hash does not match"),
        ("DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal) - 1", "missing"),
        ("UPDATE sms SET body = body || '.' WHERE kind = 'request'", "/texts/0/body"),
        ("DELETE FROM cases WHERE state = 'cancelled'", "/case is missing"),
        ("ALTER SEQUENCE sms_sms_id_seq RESTART WITH 3", "sms.sms_id gives 3, has"),
        ("DELETE FROM calls WHERE kind = 'voucher'", "consented that nothing carries on"),
        ("DELETE FROM calls WHERE kind = 'lookup'", "looking_up that nothing carries on"),
        ("UPDATE cases SET due_at = NULL WHERE state = 'asked'", "asked that nothing carries on"),
        ("UPDATE questions SET open = false", "waiting that nothing carries on"),
        ("DELETE FROM sms WHERE state IN ('queued', 'sending')", "queued that nothing carries on"),
        ("DELETE FROM deadlines", "deadlines: "),
        ("DELETE FROM outbox", "outbox: "),
        ("INSERT INTO waiting_cases VALUES ('3', '77010000001', 'x')", "waiting_cases: 0 missing, 1 left over"),
    ],
)  # fmt: skip
async def test_a_copy_that_does_not_hold_has_status_1_and_the_part_is_named(
    copy: Connection,
    bare_database_url: str,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
    found: str,
) -> None:
    await copy.execute(change)
    assert await check(bare_database_url, config) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert found in shown
    assert "NO" in shown
