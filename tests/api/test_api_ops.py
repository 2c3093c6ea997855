"""What ops see: alive, ready, counted."""

from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Components
from gateway.consent.inputs import UseNumber
from tests.api.apiclient import Api
from tests.record_factories import PUPILS, good


async def test_a_living_process_says_so_to_anybody(api: Api) -> None:
    assert (await api.call("GET", "/healthz")).json == {"alive": True}


async def test_it_is_ready_once_every_link_is_bound_by_a_living_process(api: Api) -> None:
    unbound = await api.call("GET", "/readyz")
    assert (unbound.status, unbound.json["detail"]) == (503, "Not bound: kcell.")
    await api.execute("INSERT INTO nodes VALUES ('other', 'other')")
    await api.execute("UPDATE links SET node = 'other', bound = 1")
    assert (await api.call("GET", "/readyz")).json == {"ready": True, "links": ["kcell"]}
    await api.execute("UPDATE nodes SET seen_at = clock_timestamp() - interval '16 seconds' WHERE node = 'other'")
    assert (await api.call("GET", "/readyz")).status == 503


async def test_it_is_not_ready_without_its_database(api: Api, components: Components) -> None:
    await components.database.pool.close()
    answer = await api.call("GET", "/readyz")
    assert answer.status == 503
    assert "database" in answer.json["detail"]


async def test_requests_meet_a_missing_database_with_try_again(api: Api, components: Components) -> None:
    await components.database.pool.close()
    for answer in (await api.get("/v1/lists"), await api.push([good(1)])):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_links_show_who_holds_them_and_what_waits(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE links SET node = 'node', bound = 2")
    shown = (await api.get("/v1/links", "ops-token")).json
    assert shown == {"links": [{"link": "kcell", "node": "node", "bound": 2, "queued": 1}]}


async def samples(api: Api) -> dict[tuple[str, ...], float]:
    text = (await api.call("GET", "/metrics")).body.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_waits_and_where_cases_are(api: Api, components: Components) -> None:
    await api.push([good(1), good(2), good(3)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    found = await samples(api)
    assert found["gateway_queue_depth", "lookup"] == 3  # the caller takes a call away once it is answered
    assert found["gateway_queue_depth", "voucher"] == 0
    assert found["gateway_queue_depth", "journal"] == 5
    assert 0 <= found["gateway_queue_age_seconds", "lookup"] < 60
    assert found["gateway_sms_queued", "kcell", "1"] == 1
    assert (found["gateway_cases", "3", "looking_up"], found["gateway_cases", "3", "queued"]) == (2, 1)


async def test_metrics_without_a_database_say_what_this_process_has_counted(
    api: Api, components: Components
) -> None:
    assert (await samples(api))["gateway_database_up",] == 1
    await components.database.pool.close()
    found = await samples(api)
    assert found["gateway_database_up",] == 0
    assert found["gateway_http_requests_total", "GET", "/metrics", "200"] >= 1
    assert ("gateway_queue_depth", "lookup") not in found


async def test_metrics_name_routes_not_paths_and_nobody(api: Api) -> None:
    await api.push([good(1)])
    await api.get("/v1/lists/list-1")
    await api.get("/v1/nothing/there")
    text = (await api.call("GET", "/metrics")).body.decode()
    assert 'route="/v1/lists/{list_id}"' in text
    assert "list-1" not in text
    assert "nothing" not in text
    assert PUPILS[0] not in text
