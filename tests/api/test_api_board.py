"""What the console shows beside the overview: its stream, figures, alerts with begin and end, messages."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.api.app import serve_http
from gateway.api.board import BoardApi
from gateway.components import Components
from gateway.config import Config
from gateway.config.policy import HttpPolicy
from gateway.consent.inputs import UseNumber
from gateway.shells import board_of
from gateway.store import figures
from tests.api.apiclient import DOCUMENT, Api
from tests.record_factories import good

OPS = "ops-token-of-tests"
WITHIN = 20.0


@pytest.fixture
def board(config: Config, components: Components) -> BoardApi:
    return board_of(config, components)


async def events(api: Api, number: int) -> list[Any]:
    """The first overviews of a stream."""
    headers = {"Authorization": f"Bearer {OPS}"}
    found: list[Any] = []
    async with asyncio.timeout(WITHIN), api.call.session.get("/v1/overview/stream", headers=headers) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        while len(found) < number:
            event = await response.content.readuntil(b"\n\n")
            assert event.startswith(b"event: overview\ndata: ")
            found.append(orjson.loads(event.partition(b"data: ")[2]))
    return found


@pytest.mark.http_policy(stream_seconds=0.01)
async def test_the_stream_of_the_console_sends_overviews_like_get_v1_overview(api: Api) -> None:
    first, second = await events(api, 2)
    assert first.keys() == second.keys() == (await api.get("/v1/overview", OPS)).json.keys()


@pytest.mark.http_policy(max_streams=1)
async def test_a_console_beyond_the_limit_is_told_to_poll(api: Api) -> None:
    headers = {"Authorization": f"Bearer {OPS}"}
    async with api.call.session.get("/v1/overview/stream", headers=headers) as first:
        await first.content.readuntil(b"\n\n")
        refused = await api.get("/v1/overview/stream", OPS)
        assert (refused.status, "poll" in refused.json["detail"]) == (503, True)
        first.close()


@pytest.mark.http_policy(max_streams=1, max_stream_seconds=0.0)
async def test_a_stream_that_has_ended_leaves_its_place_to_another(api: Api) -> None:
    assert [(await api.get("/v1/overview/stream", OPS)).status for _ in range(3)] == [200, 200, 200]


async def test_a_stream_ends_when_the_process_stops(config: Config, components: Components) -> None:
    policy = HttpPolicy(stream_seconds=60.0, stop_timeout_seconds=60.0)
    headers = {"Authorization": f"Bearer {OPS}"}
    async with asyncio.timeout(WITHIN), aiohttp.ClientSession() as session:
        async with serve_http(config.http, [board_of(config, components)], policy) as port:
            response = await session.get(f"http://127.0.0.1:{port}/v1/overview/stream", headers=headers)
            await response.content.readuntil(b"\n\n")
        assert await response.read() == b""


@pytest.mark.parametrize("path", ["/v1/overview/stream", "/v1/figures", "/v1/alerts", "/v1/cases/{}/messages"])
async def test_the_data_of_the_console_need_the_role_ops(api: Api, path: str) -> None:
    await api.push([good(1)])
    assert (await api.get(path.format(await api.case_id()), "sdu-token-of-tests")).status == 403


async def test_figures_are_those_of_the_named_list_or_of_all_lists(api: Api, components: Components) -> None:
    await api.push([good(1), good(2)])
    await api.push([good(3)], "list-2")
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    await components.journal.seal()
    await components.figures.count()
    (of_all, of_list) = [
        (await api.get(f"/v1/figures{query}", OPS)).json for query in ("", "?list_id=list-1&span=campaign")
    ]
    assert (of_all["stages"]["received"], of_list["stages"]["received"]) == (3, 2)
    assert (of_all["stages"]["number_found"], of_list["stages"]["number_found"]) == (1, 1)
    assert (of_all["segments"]["step_seconds"], of_list["segments"]["step_seconds"]) == (60, 3600)
    assert 24 * 60 < of_all["segments"]["steps"] <= 25 * 60
    assert of_list["replies"]["steps"] == 1


async def test_a_figure_of_replies_is_shown_at_the_step_of_its_hour(api: Api) -> None:
    await api.execute("INSERT INTO reply_figures SELECT date_trunc('hour', now(), 'UTC'), '', 'other', 7")
    replies = (await api.get("/v1/figures", OPS)).json["replies"]
    assert replies["series"] == [{"name": "other", "numbers": [0] * (replies["steps"] - 1) + [7]}]


@pytest.mark.parametrize(
    ("query", "status"), [("span=week", 400), ("span=", 400), ("list_id=nothing", 404), ("list_id=a%20b", 404)]
)
async def test_an_invalid_query_of_figures_gets_a_problem(api: Api, query: str, status: int) -> None:
    assert (await api.get(f"/v1/figures?{query}", OPS)).status == status


def test_the_stages_of_openapi_json_are_those_that_are_counted() -> None:
    described = DOCUMENT["components"]["schemas"]["Figures"]["properties"]["stages"]["required"]
    assert described == ["received", *figures.STAGES]


async def test_an_alert_is_noted_with_its_link(api: Api, board: BoardApi) -> None:
    await board.note_alerts()
    (alert,) = (await api.get("/v1/alerts?limit=1", OPS)).json["alerts"]
    assert (alert["code"], alert["about"], alert["ended_at"]) == ("link_down", "kcell", None)


async def test_messages_of_a_case_are_its_texts_by_segment_and_the_replies(
    api: Api, components: Components
) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, UseNumber(msisdn="77011234567"))])
    await api.execute(
        """INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding,
               smsc_time, verdict, normalised, rule_version, received_at)
           VALUES ($1, 'kcell', '77011234567', '1414', '3#1', 0, '', 'agree', false, 'r', '2126-01-01Z')""",
        case_id,
    )
    sent, received = (await api.get(f"/v1/cases/{case_id}/messages", OPS)).json["messages"]
    ((segments,),) = await api.fetch("SELECT segments FROM sms")
    assert (sent["direction"], sent["kind"], sent["state"]) == ("sent", "request", "queued")
    assert (len(sent["segments"]), "3#1" in "".join(sent["segments"])) == (segments, True)
    assert (received["verdict"], received["text"]) == ("agree", "3#1")
    await api.execute("UPDATE sms SET body = NULL, fields = NULL")
    await api.execute("UPDATE replies SET octets = NULL")
    erased = (await api.get(f"/v1/cases/{case_id}/messages", OPS)).json["messages"]
    assert [erased[0]["segments"], erased[1]["text"]] == [None, None]


async def test_an_unknown_case_has_no_messages(api: Api) -> None:
    assert (await api.get("/v1/cases/01KAN00000000000000000000A/messages", OPS)).status == 404
