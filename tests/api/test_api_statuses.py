"""The status feed: every status once and in order."""

import asyncio
import time

from gateway.api.problems import JOURNAL_INCOMPLETE
from gateway.components import Components
from gateway.consent.inputs import SkipRecipient, UseNumber
from gateway.simulators.identities import nth_iin
from gateway.store import journal, journal_check, journal_rows
from gateway.store.rewinds import HEAD_HEADER
from gateway.usecases.status_feed import StatusFeed
from tests.api.apiclient import Api
from tests.harness import metric
from tests.record_factories import PUPILS, good, person


async def seal(components: Components) -> None:
    """Seals the journal and wakes long polls, as the scheduled job does."""
    async with components.database.acquire() as connection:
        await journal.seal(connection)
    async with components.wakeups.sealed:
        components.wakeups.sealed.notify_all()


async def test_a_status_event_has_all_documented_fields(api: Api, components: Components) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, UseNumber(msisdn="77011234567"))])
    await seal(components)
    page = (await api.get("/v1/statuses")).json
    assert [event["status"] for event in page["events"]] == ["received", "number_found"]
    event = page["events"][1]
    assert {key: value for key, value in event.items() if key not in ("event_id", "at")} == {
        "seq": 2,
        "status": "number_found",
        "list_id": "list-1",
        "record_id": "r-1",
        "case_id": case_id,
        "service": "3",
        "pupil_iin": PUPILS[0],
        "detail": {"relation": "mother"},
    }
    assert page["next"] == 2


async def test_a_reader_that_follows_next_receives_every_status_once_and_in_order(
    api: Api, components: Components
) -> None:
    await api.push([good(number) for number in (1, 2, 3, 4)])
    cases = [case_id for (case_id,) in await api.fetch("SELECT case_id FROM cases")]
    await components.transactions.apply([(case_id, SkipRecipient()) for case_id in cases])
    await seal(components)
    seen, after = [], 0
    while page := (await api.get(f"/v1/statuses?after={after}&limit=3")).json:
        if not page["events"]:
            break
        seen += page["events"]
        after = page["next"]
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})
    assert len({event["event_id"] for event in seen}) == 8
    assert sorted(event["status"] for event in seen) == ["no_number"] * 4 + ["received"] * 4
    assert all(event["detail"] == {"checked": ["mother"]} for event in seen if event["status"] == "no_number")


async def test_statuses_that_are_not_sealed_are_not_returned(api: Api) -> None:
    await api.push([good(1)])
    assert (await api.get("/v1/statuses?after=0")).json == {"events": [], "next": 0}


async def test_a_long_poll_returns_as_soon_as_a_status_is_sealed(api: Api, components: Components) -> None:
    began = time.monotonic()
    poll = asyncio.create_task(api.get("/v1/statuses?wait=30"))
    await api.push([good(1)])
    await seal(components)
    page = (await poll).json
    assert [event["status"] for event in page["events"]] == ["received"]
    assert time.monotonic() - began < 15


async def test_a_long_poll_without_statuses_returns_after_its_wait(api: Api) -> None:
    began = time.monotonic()
    page = (await api.get("/v1/statuses?wait=1")).json
    assert page == {"events": [], "next": 0}
    assert time.monotonic() - began >= 0.9


# a database that was rewound


async def two_statuses(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    await seal(components)


async def test_each_page_tells_the_last_entry_of_the_journal(api: Api, components: Components) -> None:
    assert (await api.get("/v1/statuses")).headers[HEAD_HEADER] == "0"
    await two_statuses(api, components)
    ((seq, head),) = await api.fetch("SELECT seq, encode(hash, 'hex') FROM journal ORDER BY seq DESC LIMIT 1")
    for after in (0, 1, seq):
        assert (await api.get(f"/v1/statuses?after={after}")).headers[HEAD_HEADER] == f"{seq} {head}"


async def test_a_cursor_after_the_last_entry_proves_a_rewind_and_stops_the_gateway(
    api: Api, components: Components
) -> None:
    await two_statuses(api, components)
    ((seq,),) = await api.fetch("SELECT max(seq) FROM journal")
    for after in (seq + 3, seq + 9, seq, seq + 1):  # the highest one counts
        assert (await api.get(f"/v1/statuses?after={after}")).status == 503
    shown = (await api.get("/v1/rewind", "ops-token-of-tests")).json
    assert (shown["found_by"], shown["seq"], shown["known_seq"], shown["known_hash"]) == (
        "sdu",
        seq,
        seq + 9,
        None,
    )
    assert "gateway accept-rewind" in (await api.call("GET", "/readyz")).json["detail"]
    assert (await api.push([good(2)], "list-2")).status == 503
    assert await api.fetch("SELECT list_id FROM lists") == [("list-1",)]


async def test_after_an_accepted_rewind_a_stale_cursor_gets_409_until_the_statuses_are_read_again(
    api: Api, components: Components
) -> None:
    await two_statuses(api, components)
    ((seq,),) = await api.fetch("SELECT max(seq) FROM journal")
    await api.get(f"/v1/statuses?after={seq + 2}")
    assert (await api.post("/v1/rewind/accept", None, "ops-token-of-tests")).json["sdu"]["read_from"] == seq
    await seal(components)  # the acceptance is an entry: the stale cursor is within the journal by now
    stale = await api.get(f"/v1/statuses?after={seq + 1}")
    assert stale.status == 409
    assert [(error["code"], error["detail"]) for error in stale.json["errors"]] == [("rewound", f"after={seq}")]
    assert (await api.get(f"/v1/statuses?after={seq}")).status == 200
    assert (await api.get(f"/v1/statuses?after={seq + 1}")).status == 200


async def test_a_rewind_is_accepted_once_and_journaled_and_nothing_else_can_be(
    api: Api, components: Components
) -> None:
    assert (await api.get("/v1/rewind", "ops-token-of-tests")).status == 404
    assert (await api.post("/v1/rewind/accept", None, "ops-token-of-tests")).status == 409
    await two_statuses(api, components)
    await api.get("/v1/statuses?after=99")
    assert (await api.post("/v1/rewind/accept", None, "sdu-token-of-tests")).status == 403
    accepted = await api.post("/v1/rewind/accept", None, "ops-token-of-tests")
    assert (accepted.status, accepted.json["known_seq"]) == (200, 99)
    assert (await api.post("/v1/rewind/accept", None, "ops-token-of-tests")).status == 409
    await seal(components)
    journaled = "SELECT event, detail ->> 'by' FROM journal ORDER BY seq DESC LIMIT 1"
    assert await api.fetch(journaled) == [("rewind_accepted", "ops")]
    async with components.database.acquire() as connection:
        assert (await journal_check.verify(connection)).fault is None
    assert (await api.push([good(2)], "list-2")).status == 201


async def test_statuses_before_an_unreadable_block_are_read_and_then_ops_are_told(
    api: Api, components: Components
) -> None:
    await api.push([good(record_id=f"r-{n}", pupil=person(nth_iin(n))) for n in range(1, 201)])
    cases = [case_id for (case_id,) in await api.fetch("SELECT case_id FROM cases ORDER BY case_id")]
    await components.transactions.apply([(case_id, SkipRecipient()) for case_id in cases])
    await seal(components)
    feed = StatusFeed(database=components.database, node="node", calendar=components.calendar)
    async with components.database.acquire() as connection:
        await connection.execute("ALTER TABLE journal_blocks DISABLE TRIGGER USER")
        await connection.execute("UPDATE journal_blocks SET entries = 'x' WHERE position = 1")
        before = metric("journal_faults_total")
        pushed = await feed.claim(1000)
        assert pushed is not None
        await feed.acknowledge(pushed)
        assert await feed.claim(1000) is None
        faults = (await journal_rows.compare(connection, {})).faults
    page = (await api.get("/v1/statuses?after=0&limit=1000")).json
    assert (page["next"], pushed.cursor) == (page["events"][-1]["seq"], page["next"])
    assert 250 < page["next"] <= 256
    response = await api.get(f"/v1/statuses?after={page['next']}")
    assert (response.status, response.json["detail"]) == (500, JOURNAL_INCOMPLETE)
    assert (await api.get(f"/v1/cases/{cases[100]}")).json["detail"] == JOURNAL_INCOMPLETE
    assert metric("journal_faults_total") == before + 3
    assert {(fault.pointer, fault.reason) for fault in faults} == {("/journal", "cannot be read")}
    assert cases[100] in {fault.case_id for fault in faults}
