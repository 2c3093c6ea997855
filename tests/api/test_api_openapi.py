"""openapi.json is valid and served, and has exactly the routes of the server."""

from openapi_spec_validator import validate

from gateway.api.app import build_app
from gateway.api.connections import ConnectionLimiter
from gateway.api.lists import shown_progress
from gateway.app import apis_of
from gateway.components import Components
from gateway.config import Config
from gateway.consent.events import STATUSES
from gateway.intake.fields import Code
from tests.api.apiclient import DOCUMENT, Api


def test_openapi_json_is_valid() -> None:
    validate(DOCUMENT)


async def test_openapi_json_is_served(api: Api) -> None:
    assert (await api.call("GET", "/openapi.json")).json == DOCUMENT


async def test_openapi_json_has_every_route_and_no_other(config: Config, components: Components) -> None:
    policy = components.policy.http
    app = build_app(config.http, apis_of(config, components), ConnectionLimiter(policy), policy)
    served = set()
    for route in app.router.routes():
        assert route.resource is not None, route
        served.add((route.method, route.resource.canonical))
    described = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert served == described


def test_codes_states_and_statuses_of_openapi_json_equal_those_of_the_program() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["RecordError"]["properties"]["code"]["enum"] == list(Code)
    assert set(schemas["StatusEvent"]["properties"]["status"]["enum"]) == set(STATUSES)
    assert set(schemas["State"]["enum"]) == set(shown_progress({})) == set(schemas["Progress"]["properties"])


def test_openapi_json_marks_all_paths_that_need_a_token() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert ("401" in operation["responses"]) == bool(operation["security"]) == path.startswith("/v1/")
