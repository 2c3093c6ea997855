"""Health, readiness and metrics, for ops."""

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from gateway.api.ops import OpsApi
from gateway.components import Components
from gateway.config.model import Durability
from gateway.consent.inputs import UseNumber
from tests.api.apiclient import Api
from tests.record_factories import PUPILS, good


async def test_healthz_needs_no_token(api: Api) -> None:
    assert (await api.call("GET", "/healthz")).json == {"alive": True}


async def test_readyz_is_200_once_every_link_is_bound_by_a_node_with_a_heartbeat(api: Api) -> None:
    unbound = await api.call("GET", "/readyz")
    assert (unbound.status, unbound.json["detail"]) == (503, "Not bound: kcell.")
    await api.execute("INSERT INTO nodes VALUES ('other', 'other')")
    await api.execute("UPDATE links SET node = 'other', bound = 1")
    assert (await api.call("GET", "/readyz")).json == {"ready": True, "links": ["kcell"]}
    await api.execute("UPDATE nodes SET seen_at = clock_timestamp() - interval '16 seconds' WHERE node = 'other'")
    assert (await api.call("GET", "/readyz")).status == 503


async def test_readyz_is_503_without_the_database(api: Api, components: Components) -> None:
    await components.database.pool.close()
    response = await api.call("GET", "/readyz")
    assert response.status == 503
    assert "database" in response.json["detail"]


async def test_readyz_is_503_where_commits_are_to_be_replicated_and_are_not(components: Components) -> None:
    expected: list[tuple[Durability, str | None]] = [
        ("local", None),
        (
            "replicated",
            "Commits are not replicated: there is no standby: connect one, and set synchronous_standby_names.",
        ),
    ]
    for durability, reason in expected:
        ops = OpsApi(
            database=components.database, clock=components.clock, calendar=components.calendar, links=[],
            durability=durability, cache_seconds=0.0,
        )  # fmt: skip
        assert await ops._ready() == reason


async def test_requests_without_the_database_get_503_with_retry_after(api: Api, components: Components) -> None:
    await components.database.pool.close()
    for response in (await api.get("/v1/lists"), await api.push([good(1)])):
        assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_a_request_behind_a_lock_gets_503_after_the_lock_timeout(
    api: Api, components: Components, database_url: str
) -> None:
    pool = components.database.pool
    pool.set_connect_args(database_url, server_settings={"lock_timeout": "50ms"})
    await pool.expire_connections()
    locker = await asyncpg.connect(database_url)
    try:
        async with locker.transaction():
            await locker.execute("LOCK TABLE lists IN ACCESS EXCLUSIVE MODE")
            response = await api.get("/v1/lists")
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
    finally:
        await locker.close()
    assert (await api.get("/v1/lists")).status == 200


async def test_links_show_their_node_and_their_queue(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE links SET node = 'node', bound = 2")
    shown = (await api.get("/v1/links", "ops-token-of-tests")).json
    bound = {"link": "kcell", "node": "node", "bound": 2, "queued": 1}
    assert shown == {"links": [{**bound, "bind_failure": None, "next_bind_at": None}]}


async def test_links_show_why_they_are_not_bound_and_when_the_next_attempt_is(api: Api) -> None:
    await api.execute(
        "UPDATE links SET node = 'node', bind_failure = 'ESME_RBINDFAIL', next_bind_at = '2026-11-22T10:00:00Z'"
    )
    (link,) = (await api.get("/v1/links", "ops-token-of-tests")).json["links"]
    assert (link["bind_failure"], link["next_bind_at"]) == ("ESME_RBINDFAIL", "2026-11-22T15:00:00.000+05:00")
    await api.execute("UPDATE links SET node = NULL")
    (link,) = (await api.get("/v1/links", "ops-token-of-tests")).json["links"]
    assert (link["bind_failure"], link["next_bind_at"]) == (None, None)


async def test_a_bind_may_be_requested_by_ops_of_a_link_that_a_process_holds(api: Api) -> None:
    assert (await api.post("/v1/links/kcell/bind", None, "sdu-token-of-tests")).status == 403
    assert (await api.post("/v1/links/tele2/bind", None, "ops-token-of-tests")).status == 404
    assert (await api.post("/v1/links/kcell/bind", None, "ops-token-of-tests")).status == 409
    await api.execute("UPDATE links SET node = 'node'")
    response = await api.post("/v1/links/kcell/bind", None, "ops-token-of-tests")
    assert (response.status, response.json["link"], response.json["node"]) == (200, "kcell", "node")
    assert await api.fetch("SELECT bind_requested FROM links") == [(True,)]


async def samples(api: Api) -> dict[tuple[str, ...], float]:
    text = (await api.call("GET", "/metrics")).body.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_queues_and_cases_by_state(api: Api, components: Components) -> None:
    await api.push([good(1), good(2), good(3)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    found = await samples(api)
    assert found["gateway_queue_depth", "lookup"] == 3  # a call is deleted once its response is processed
    assert found["gateway_queue_depth", "voucher"] == 0
    assert found["gateway_queue_depth", "journal"] == 5
    assert 0 <= found["gateway_queue_age_seconds", "lookup"] < 60
    assert found["gateway_sms_queued", "kcell", "1"] == 1
    assert (found["gateway_cases", "3", "looking_up"], found["gateway_cases", "3", "queued"]) == (2, 1)


async def test_metrics_without_the_database_have_the_counters_of_the_process(
    api: Api, components: Components
) -> None:
    assert (await samples(api))["gateway_database_up",] == 1
    await components.database.pool.close()
    found = await samples(api)
    assert found["gateway_database_up",] == 0
    assert found["gateway_http_requests_total", "GET", "/metrics", "200"] >= 1
    assert ("gateway_queue_depth", "lookup") not in found


async def test_metrics_contain_routes_but_no_paths_and_no_iin(api: Api) -> None:
    await api.push([good(1)])
    await api.get("/v1/lists/list-1")
    await api.get("/v1/unknown-path/there")
    text = (await api.call("GET", "/metrics")).body.decode()
    assert 'route="/v1/lists/{list_id}"' in text
    assert "list-1" not in text
    assert "unknown-path" not in text
    assert PUPILS[0] not in text
