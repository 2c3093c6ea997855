"""The API over real HTTP to a real server; every response is checked against openapi.json."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import Gauge

from gateway import metrics
from gateway.api.app import serve_http
from gateway.components import Components, build
from gateway.config import Config, load
from gateway.config.policy import HttpPolicy, Policy
from gateway.shells import apis_of
from gateway.simulators.configuration import config_toml
from gateway.store.database import Database
from tests.api.apiclient import Api, Caller

CONFIG = config_toml(
    gateway={"node": "test"},
    http={
        "port": 0,
        "max_list_bytes": 1_000_000,
        "tokens": {
            "sdu": ["sdu-token-of-tests", "sdu-token-before"],
            "wallet": "wallet-token-of-tests",
            "ops": "ops-token-of-tests",
        },
    },
    mcb={"url": "http://127.0.0.1:1", "token": "mcb-token"},
    wallet={"url": "http://127.0.0.1:2", "token": "wallets-token"},
    links=[{"name": "kcell", "port": 2775, "password": "secret", "prefixes": ["701", "702", "775", "778"]}],
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return load(path)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "http_policy(**changes): time-outs and limits of the HTTP server")


@pytest.fixture(autouse=True)
def _nothing_measured_yet() -> None:
    """The overview shows and alerts what this process has measured: earlier tests of it may have left a fault."""
    for gauge in vars(metrics).values():
        if isinstance(gauge, Gauge) and gauge is not metrics.BUILD:
            gauge.clear()
            with contextlib.suppress(ValueError):  # one with labels has no value of its own
                gauge.set(0)
    metrics.JOURNAL_FAULTS.reset()
    metrics.RECEIPTS_UNKNOWN.clear()


@pytest.fixture
def http_policy(request: pytest.FixtureRequest) -> HttpPolicy:
    """Time-outs and limits of the server: a test sets its own by `@pytest.mark.http_policy(max_requests=1)`.

    Probes get a new response, unless it says otherwise.
    """
    marker = request.node.get_closest_marker("http_policy")
    return HttpPolicy(**({"probe_cache_seconds": 0.0} | (marker.kwargs if marker is not None else {})))


@pytest.fixture
def policy(http_policy: HttpPolicy) -> Policy:
    """Time-outs and limits; a test module may have its own."""
    return Policy(http=http_policy)


@pytest.fixture
async def components(config: Config, database: Database, policy: Policy) -> Components:
    """The use cases over this test's database, of one process."""
    return await build(config, database, "node", policy)


@pytest.fixture
async def caller(config: Config, components: Components) -> AsyncIterator[Caller]:
    """HTTP to the server; responses are checked against openapi.json."""
    async with (
        serve_http(config.http, apis_of(config, components), components.policy.http) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session,
    ):
        yield Caller(session, port)


@pytest.fixture
def api(caller: Caller, database: Database) -> Api:
    """Short calls of the API, and reads of the database."""
    return Api(caller, database)
