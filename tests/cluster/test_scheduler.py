"""The scheduled jobs, each over rows that are due and rows that are not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from gateway import app, config
from gateway.app import BATCH
from gateway.clock import Clock
from gateway.cluster.scheduler import Job, Scheduler
from gateway.components import Components, build
from gateway.config.policy import JournalPolicy, Policy
from gateway.consent.details import Repeat
from gateway.consent.events import Event as JourneyEvent
from gateway.consent.events import EventType
from gateway.evidence import merkle
from gateway.logs.log import Event
from gateway.simulators.configuration import config_toml
from gateway.store import inbound, journal, journal_check, nodes
from gateway.store.database import Database
from gateway.store.inbound import ReplySegment
from gateway.store.rewinds import JournalMemory
from gateway.usecases import journal_upkeep
from gateway.usecases.journal_upkeep import JournalUpkeep
from tests.harness import TOKENS, metric
from tests.journal_entries import all_entries

Jobs = Mapping[str, Callable[[], Awaitable[object]]]
"""The function of each job, by its name."""
NODE = "01M80000000000000000000NODE"
MONDAY = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
KEEP = timedelta(days=1095)

_CASES = """
WITH new AS (
INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, record, opened_at, state,
                   msisdn, repeat, due_at, ended_at)
SELECT 'case-' || n, 'list', n, '3', 1, 'kk', '131106697007',
       '{"pupil": {"surname": "А", "given_name": "Б"},
         "recipients": [{"relation": "mother", "surname": "В", "given_name": "Г"}]}',
       $1, $2, '7701' || lpad(n::text, 7, '0'), $3, $4, $5
FROM generate_series($6::integer, $7::integer) AS n
RETURNING due_at, ended_at, case_id), due AS (
    INSERT INTO deadlines (at, case_id) SELECT due_at, case_id FROM new WHERE due_at IS NOT NULL)
INSERT INTO ended_cases (at, case_id) SELECT ended_at, case_id FROM new WHERE ended_at IS NOT NULL
"""


@pytest.fixture
async def components(database: Database, tmp_path: Path) -> Components:
    """The use cases at a Monday, 10:00, over this test's database."""
    path = tmp_path / "config.toml"
    text = config_toml(
        http={"tokens": TOKENS},
        mcb={"url": "http://127.0.0.1:9101", "token": "t"},
        wallet={"url": "http://127.0.0.1:9102", "token": "t"},
        links=[{"name": "kcell", "port": 2775, "password": "secret", "default": True}],
    )
    path.write_text(text, encoding="utf-8")
    loaded = config.load(path, environ={})
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO lists VALUES ('list', '3', '', 0, 0, 0, 0, now())")
    policy = Policy(journal=JournalPolicy(check_batch=10, min_checked_per_run=40))
    return await build(loaded, database, NODE, policy, clock=Clock(MONDAY, wall=lambda: MONDAY))


@pytest.fixture
def jobs(components: Components) -> Jobs:
    return {job.name: job.run for job in app.jobs_of(components)}


def scheduler_of(components: Components, **settings: float) -> Scheduler:
    return Scheduler(app.jobs_of(components), database=components.database, node=NODE, **settings)


async def test_meet_deadlines_processes_all_due_cases_and_no_other(database: Database, jobs: Jobs) -> None:
    """Repeats and ends, more than one batch of them."""
    at_once, later = MONDAY, MONDAY + timedelta(microseconds=1)
    async with database.acquire() as connection:
        await connection.execute(_CASES, MONDAY, "asked", 0, at_once, None, 1, BATCH)
        await connection.execute(_CASES, MONDAY, "reminded", 1, at_once, None, BATCH + 1, BATCH + 20)
        await connection.execute(_CASES, MONDAY, "asked", 0, later, None, BATCH + 21, BATCH + 30)
    await jobs["meet_deadlines"]()
    async with database.acquire() as connection:
        states = await connection.fetch("SELECT state, repeat, count(*) AS n FROM cases GROUP BY 1, 2")
        assert {(row["state"], row["repeat"], row["n"]) for row in states} == {
            ("asked", 1, BATCH),
            ("no_answer", 1, 20),
            ("asked", 0, 10),
        }
        assert await connection.fetchval("SELECT count(*) FROM sms WHERE kind = 'repeat'") == BATCH


async def test_two_processes_meet_each_deadline_once(database: Database, jobs: Jobs) -> None:
    async with database.acquire() as connection:
        await connection.execute(_CASES, MONDAY, "reminded", 1, MONDAY, None, 1, 300)
    await asyncio.gather(jobs["meet_deadlines"](), jobs["meet_deadlines"]())
    async with database.acquire() as connection:
        entries = [entry.case_id for entry in await all_entries(connection) if entry.event == "no_answer"]
    assert len(entries) == len(set(entries)) == 300


async def test_sealing_moves_all_entries_and_wakes_the_status_feed(
    database: Database, components: Components, jobs: Jobs
) -> None:
    async with database.acquire() as connection:
        await connection.execute(_CASES, MONDAY, "reminded", 1, MONDAY, None, 1, 10)
    await jobs["meet_deadlines"]()
    await jobs["seal"]()
    await asyncio.wait_for(components.wakeups.statuses.wait(timeout=60), 1)
    async with database.acquire() as connection:
        check = await journal_check.verify(connection)
    assert (check.entries, check.fault) == (10, None)


async def test_flush_replies_stores_an_incomplete_reply_as_unclear(
    database: Database, components: Components, jobs: Jobs
) -> None:
    def segment(reference: int, number: int, octets: bytes) -> ReplySegment:
        return ReplySegment("kcell", "77010000001", "1414", reference, 3, number, octets, 6, 0, "")

    async with database.acquire() as connection:
        await inbound.keep_segments(connection, [segment(1, 1, b"hello"), segment(1, 3, b"!")], MONDAY)
        await connection.execute("UPDATE reply_segments SET waited = 20")
        await inbound.keep_segments(connection, [segment(2, 1, b"3#2")], MONDAY)
    await jobs["flush_replies"]()
    async with database.acquire() as connection:
        replies = await connection.fetch("SELECT octets, verdict FROM replies")
        assert [(row["octets"], row["verdict"]) for row in replies] == [(b"hello!", "unclear")]
        assert await connection.fetchval("SELECT count(*) FROM reply_segments") == 1


async def test_personal_data_is_erased_after_keep_days_and_the_erasure_is_logged(
    database: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = MONDAY - KEEP - timedelta(seconds=1)
    async with database.acquire() as connection:
        await connection.execute(_CASES, expired, "refused", 0, None, expired, 1, 3)
        await connection.execute(_CASES, expired, "refused", 0, None, MONDAY - KEEP, 4, 5)
        await connection.execute(_CASES, expired, "asked", 0, MONDAY, None, 6, 7)
    log = CapturingLogger()
    monkeypatch.setattr(app, "log", log)
    await jobs["erase"]()
    async with database.acquire() as connection:
        erased = await connection.fetch("SELECT case_id FROM cases WHERE erased_at IS NOT NULL ORDER BY case_id")
        assert [row["case_id"] for row in erased] == ["case-1", "case-2", "case-3"]
        assert [entry.event for entry in await all_entries(connection)] == ["erased"] * 3
    assert [(call.method_name, call.args, call.kwargs) for call in log.calls] == [
        ("info", (Event.PERSONAL_DATA_ERASED,), {"cases": 3})
    ]


async def test_expire_receipts_deletes_expired_message_ids_and_unmatched_receipts(
    database: Database, jobs: Jobs
) -> None:
    async with database.acquire() as connection:
        for at in ("-infinity", "infinity"):
            await connection.execute(
                f"""INSERT INTO receipts_expected VALUES ('kcell', '1', '1', 1, 0, '{at}');
                    INSERT INTO receipts_unmatched VALUES ('kcell', '2', '2', 'delivered', '', '{at}')"""
            )
    await jobs["expire_receipts"]()
    async with database.acquire() as connection:
        for table in ("receipts_expected", "receipts_unmatched"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 1


async def test_fold_progress_sums_rows_and_keeps_the_counts(database: Database, jobs: Jobs) -> None:
    async with database.acquire() as connection:
        await connection.execute(
            "INSERT INTO progress SELECT 'list', unnest(ARRAY['asked', 'queued']), unnest(ARRAY[1, -1])"
            " FROM generate_series(1, 100)"
        )
        await connection.execute("INSERT INTO progress VALUES ('list', 'queued', 100)")
    await jobs["fold_progress"]()
    async with database.acquire() as connection:
        rows = await connection.fetch("SELECT state, cases FROM progress")
    assert [(row["state"], row["cases"]) for row in rows] == [("asked", 100)]


async def test_meet_deadlines_of_a_fenced_process_changes_no_case(database: Database, jobs: Jobs) -> None:
    async with database.acquire() as connection:
        await connection.execute(_CASES, MONDAY, "reminded", 1, MONDAY, None, 1, 1)
        await connection.execute("DELETE FROM nodes")
    with pytest.raises(nodes.FencedError):
        await jobs["meet_deadlines"]()
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT state FROM cases") == "reminded"


@pytest.mark.parametrize(
    "job",
    [
        "seal",
        "fold_progress",
        "count_queues",
        "index_people",
        "expire_access_log",
        "expire_receipts",
        "expire_dialogues",
        "expire_unacknowledged",
        "erase",
        "match_receipts",
        "repair_entries",
        "grow_tree",
    ],
)
async def test_upkeep_jobs_of_a_fenced_process_change_nothing(database: Database, jobs: Jobs, job: str) -> None:
    """Each job has due rows, and an evicted node must not change them."""
    expired = MONDAY - KEEP - timedelta(seconds=1)
    async with database.acquire() as connection:
        await _journal(database, 1)
        await connection.execute(_CASES, expired, "refused", 0, None, expired, 1, 3)
        await connection.execute(
            """INSERT INTO progress SELECT 'list', 'asked', 1 FROM generate_series(1, 100);
               INSERT INTO receipts_expected VALUES ('kcell', '1', '1', 1, 0, '-infinity');
               INSERT INTO receipts_unmatched VALUES ('kcell', '2', '2', 'delivered', '', '-infinity');
               INSERT INTO dialogues (link, msisdn, session, service, case_id, menus, expires_at)
               VALUES ('kcell', '77010000001', '\\x01', '3', 'case-1', 0, '-infinity');
               INSERT INTO case_people_due VALUES ('list');
               INSERT INTO access_log (at, actor, role, action) VALUES ('1999-01-01', 'olga', 'ops', 'list');
               INSERT INTO unacknowledged_periods VALUES ('kcell', '-infinity', '-infinity');
               INSERT INTO journal_pending (at, size, entries, cases) VALUES ('2026-11-23', 1, '[]', '{}');
               DELETE FROM nodes"""
        )
        tables = (
            "progress",
            "case_people_due",
            "access_log",
            "receipts_expected",
            "receipts_unmatched",
            "dialogues",
            "unacknowledged_periods",
            "journal",
            "cases",
        )
        counted = [f"(SELECT count(*) FROM {table})" for table in (*tables, "journal_pending")]
        count = f"SELECT {', '.join(counted)}, (SELECT count(*) FROM cases WHERE erased_at IS NOT NULL)"
        before = await connection.fetchrow(count)
        with pytest.raises(nodes.FencedError):
            await jobs[job]()
        assert await connection.fetchrow(count) == before


async def _until(database: Database, condition: str) -> None:
    async with asyncio.timeout(10), database.acquire() as connection:
        while not await connection.fetchval(condition):
            await connection.execute("SELECT pg_sleep(0.02)")


async def test_a_cluster_job_is_run_by_one_process_and_again_when_it_is_due(
    database: Database, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process runs it right after its start: otherwise restarts every hour would postpone it forever."""
    log = CapturingLogger()
    monkeypatch.setattr(journal_upkeep, "log", log)

    def anchored() -> int:
        return sum(call.args[0] == Event.JOURNAL_ANCHOR for call in log.calls)

    all_claimed = "SELECT count(*) = 7 FROM jobs WHERE due_at > clock_timestamp() + interval '50 s'"
    schedulers = [scheduler_of(components, poll_seconds=0.05) for _ in range(2)]
    for running in schedulers:
        running.start()
    try:
        await _until(database, all_claimed)
        async with database.acquire() as connection:
            await connection.execute("SELECT pg_sleep(0.5)")  # some ten polls of each
            assert anchored() == 1
            await connection.execute("UPDATE jobs SET due_at = clock_timestamp() WHERE job = 'anchor_journal'")
        await _until(database, all_claimed)
        async with database.acquire() as connection:
            await connection.execute("SELECT pg_sleep(0.5)")
        assert anchored() == 2
    finally:
        for running in schedulers:
            running.stop()


async def test_a_job_failed_by_the_database_is_counted_and_runs_again(
    database: Database, components: Components, jobs: Jobs
) -> None:
    before = metric("job_failures_total", task="seal")
    async with database.acquire() as connection:
        await journal.append(connection, [journal.entry(MONDAY, "case", JourneyEvent(EventType.RECEIVED))])
        await connection.execute("ALTER TABLE journal RENAME TO away")
    running = scheduler_of(components)
    running.start()
    try:
        async with asyncio.timeout(10):
            while metric("job_failures_total", task="seal") <= before:
                async with database.acquire() as connection:
                    await connection.execute("SELECT pg_sleep(0.02)")
        async with database.acquire() as connection:
            await connection.execute("ALTER TABLE away RENAME TO journal")
        await asyncio.wait_for(jobs["seal"](), 10)
    finally:
        running.stop()


async def _journal(database: Database, entries: int) -> None:
    async with database.acquire() as connection:
        rows = [
            journal.entry(MONDAY, f"case-{n}", JourneyEvent(EventType.REPEAT_DUE, Repeat(n)))
            for n in range(entries)
        ]
        await journal.append(connection, rows)
        while await journal.seal(connection):
            pass


async def _tamper(database: Database, statement: str) -> None:
    async with database.acquire() as connection:
        for table in ("journal", "journal_blocks"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(statement)


async def test_check_journal_verifies_in_batches_and_starts_over_after_a_round(
    database: Database, jobs: Jobs
) -> None:
    await _journal(database, 100)
    checked, faults = [], metric("journal_faults_total")
    for _ in range(5):
        before = metric("journal_checked_total")
        await jobs["check_journal"]()
        checked.append(metric("journal_checked_total") - before)
    assert checked == [40, 40, 20, 0, 40]
    assert metric("journal_faults_total") == faults


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE journal SET detail = '{}' WHERE seq = 3", 3),
        ("DELETE FROM journal WHERE seq = 7", 7),
        ("DELETE FROM journal WHERE seq > 15", 20),
        ("UPDATE journal SET seq = seq + 100 WHERE seq = 5", 5),
    ],
)
async def test_a_change_of_verified_entries_is_found_and_logged(
    database: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, statement: str, seq: int
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(journal, "log", log)
    await _journal(database, 20)
    await jobs["check_journal"]()
    before = metric("journal_faults_total")
    await _tamper(database, statement)
    for _ in range(3):  # until the next round
        await jobs["check_journal"]()
    assert metric("journal_faults_total") > before
    assert (Event.JOURNAL_BROKEN, seq) in {(call.args[0], call.kwargs.get("seq")) for call in log.calls}


async def test_anchor_journal_logs_size_and_root_of_the_journal(
    database: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(journal_upkeep, "log", log)
    await _journal(database, 3)
    await jobs["anchor_journal"]()
    async with database.acquire() as connection:
        root = (await journal_check.verify(connection)).root
    assert [(call.args[0], call.kwargs["anchor"]) for call in log.calls] == [(Event.JOURNAL_ANCHOR, f"3:{root}")]


async def test_grow_tree_adds_a_node_for_every_whole_tile(database: Database, jobs: Jobs) -> None:
    await _journal(database, 2 * merkle.TILE + 1)
    await jobs["grow_tree"]()
    async with database.acquire() as connection:
        rows = await connection.fetch("SELECT level, position FROM journal_tree ORDER BY position")
    assert [tuple(row) for row in rows] == [(merkle.STEP, 0), (merkle.STEP, 1)]


async def test_grow_tree_over_a_gap_logs_journal_broken(
    database: Database, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(journal, "log", log)
    await _journal(database, 300)
    await _tamper(database, "DELETE FROM journal_blocks")
    await scheduler_of(components).run("grow_tree")
    assert (log.calls[0].args, log.calls[0].kwargs["seq"]) == ((Event.JOURNAL_BROKEN,), 1)


async def test_a_failed_cluster_job_is_run_again_after_retry_seconds(database: Database) -> None:
    """Otherwise an erasure that fails during a restart of the database would wait for another hour."""
    ran = 0

    async def anchor_journal() -> None:
        nonlocal ran
        ran += 1
        if ran == 1:
            raise ConnectionResetError

    async with database.acquire() as connection:
        await connection.execute("INSERT INTO nodes (node, name) VALUES ($1, $1)", NODE)
    job = Job(name="anchor_journal", run=anchor_journal, every_seconds=3600.0, once_per_cluster=True)
    running = Scheduler([job], database=database, node=NODE, retry_seconds=1.0)
    await running.run("anchor_journal")
    await running.run("anchor_journal")
    assert ran == 2
    await running.run("anchor_journal")
    assert ran == 2


async def test_the_check_follows_sealing_at_any_rate_and_goes_round_a_long_journal_in_its_time(
    components: Components, database: Database
) -> None:
    policy = JournalPolicy(check_batch=10, min_checked_per_run=10, check_seconds=1.0, round_seconds=4.0)
    upkeep = JournalUpkeep(
        database=database, node=NODE, wakeups=components.wakeups, memory=JournalMemory(), policy=policy
    )
    await upkeep.check()
    await _journal(database, 200)
    checked = []
    for _ in range(2):
        before = metric("journal_checked_total")
        await upkeep.check()
        checked.append(metric("journal_checked_total") - before)
    assert checked == [200 + 50, 50]


async def test_another_process_goes_on_with_the_round_of_the_check(
    components: Components, database: Database, jobs: Jobs
) -> None:
    await _journal(database, 100)
    await jobs["check_journal"]()
    other = JournalUpkeep(
        database=database, node=NODE, wakeups=components.wakeups, memory=JournalMemory(),
        policy=JournalPolicy(check_batch=10, min_checked_per_run=1_000),
    )  # fmt: skip
    before = metric("journal_checked_total")
    await other.check()
    assert metric("journal_checked_total") - before == 60


async def test_a_process_does_not_wait_for_another_that_seals(components: Components, database: Database) -> None:
    async with database.acquire() as connection:
        await journal.append(connection, [journal.entry(MONDAY, "case", JourneyEvent(EventType.RECEIVED))])
        async with connection.transaction():
            assert await journal.seal_if_free(connection, 0) == 0  # this one holds the lock from here on
            async with asyncio.timeout(10):
                await components.journal.seal()
            assert await connection.fetchval("SELECT count(*) FROM journal_pending") == 1
    await components.journal.seal()
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM journal_pending") == 0


async def test_sealing_opens_a_transaction_only_where_entries_are_pending(
    components: Components, database: Database
) -> None:
    """That of a node which is not there is refused."""
    upkeep = JournalUpkeep(database=database, node="not there", wakeups=components.wakeups, memory=JournalMemory())
    await upkeep.seal()
    async with database.acquire() as connection:
        await journal.append(connection, [journal.entry(MONDAY, "case", JourneyEvent(EventType.RECEIVED))])
    with pytest.raises(nodes.FencedError):
        await upkeep.seal()
