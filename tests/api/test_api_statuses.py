"""The status feed: every status once and in order."""

import asyncio
import time

from gateway.components import Components
from gateway.consent.inputs import SkipRecipient, UseNumber
from gateway.store import journal
from tests.api.apiclient import Api
from tests.record_factories import PUPILS, good


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
    assert (await api.get("/v1/statuses?after=5")).json == {"events": [], "next": 5}


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
