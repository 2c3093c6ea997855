"""PostgreSQL for the tests: one server for each worker, with a migrated template that is copied for each test."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import asyncpg
import hypothesis
import pytest
import structlog

from gateway.store.database import Database, connect
from gateway.store.embedded import SETTINGS, EmbeddedServer
from gateway.store.migrations import migrate

# These databases need no durability, and are too short-lived for a vacuum.
FAST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
}
MEMORY = Path("/dev/shm")
MIN_FREE_BYTES = 2 << 30
TEMPLATE = "migrated"
CPU_SECONDS = 5.0

# The same examples in each run, and no verdict on how fast a busy machine is.
hypothesis.settings.register_profile("deterministic", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("deterministic")

# Rich, which comes with import-linter, takes a second for a traceback: timers of the gateway expire meanwhile.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

_LOGGING = structlog.get_config()
_LAZY_LOGGER = type(structlog.get_logger())

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes ten seconds or more, and begins before the others")


@pytest.hookimpl(tryfirst=True)  # before pytest-cov
def pytest_sessionstart(session: pytest.Session) -> None:
    """Ends the measurement of coverage that pytest-cov 7.1 has begun in a worker as if it were the controller.

    The worker's own one follows. With both, each line is traced twice, and `no_cover` ends one of them only.
    """
    plugin = session.config.pluginmanager.get_plugin("_cov")
    if hasattr(session.config, "workerinput") and plugin is not None and plugin.cov_controller is not None:
        plugin.cov_controller.cov.stop()


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has each worker begin with its share of the long tests: one that begins last is waited for by all others."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    unshared = len(items)
    ordered: list[pytest.Item] = []
    for worker in range(workers):  # as `--dist worksteal` gives each its first tests
        size = unshared // (workers - worker)
        unshared -= size
        share = long[worker::workers]
        ordered += [*share, *itertools.islice(others, size - len(share))]
    items[:] = [*ordered, *others]


@pytest.fixture(autouse=True)
def unconfigured_log() -> Iterator[None]:
    """Undoes what a command that ran within the test has made of the log: its level stays with cached loggers."""
    yield
    if structlog.get_config()["processors"] is _LOGGING["processors"]:
        return
    structlog.configure(**_LOGGING)
    for name, module in list(sys.modules.items()):
        if name.startswith("gateway.") and isinstance(log := vars(module).get("log"), _LAZY_LOGGER):
            vars(log).pop("bind", None)


@pytest.fixture
def cpu_limit() -> Iterator[None]:
    """Raises TimeoutError after CPU_SECONDS of the test's own time; `re` checks for signals while it matches."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {CPU_SECONDS} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of the server's default database. The server also has the template."""
    with _folder() as directory:
        server = EmbeddedServer(directory, {**SETTINGS, **FAST_SETTINGS})
        url = server.start()
        asyncio.run(_make_template(url))
        with _types_asked_for_once():
            yield url
        server.release()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for an embedded server. Not `tmp_path`: its parents may be closed to the server's user."""
    with _folder() as directory:
        yield directory


@pytest.fixture
async def database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a migrated, empty database for this test."""
    async with fresh_database(postgres) as url:
        yield url


@pytest.fixture
async def bare_database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a database without migrations."""
    async with fresh_database(postgres, "template1") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database of this test, open."""
    database = await connect(database_url, size=4, node="test")
    yield database
    await database.close()


@contextlib.contextmanager
def _types_asked_for_once() -> Iterator[None]:
    """asyncpg asks a server for each set of row types once, not once a connection: 15 ms of its time each.

    Copies of the template have the same types, and a server never gives a type's OID to another type.
    """
    ask = asyncpg.Connection._introspect_types  # type: ignore[attr-defined]  # missing in the stubs
    known: dict[tuple[Any, frozenset[int]], Any] = {}

    async def introspect(connection: Any, oids: Sequence[int], *options: Any) -> Any:
        asked = connection._addr, frozenset(oids)
        if asked not in known:
            known[asked] = await ask(connection, oids, *options)
        return known[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_introspect_types", introspect)
        yield


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="gateway-tests-", dir=_fastest_folder()))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _fastest_folder() -> Path | None:
    """Shared memory if there is enough: a copy has some 300 files, which is slow on a busy disk."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MIN_FREE_BYTES:
        return MEMORY
    return None


async def _make_template(url: str) -> None:
    await _execute(url, f"CREATE DATABASE {TEMPLATE}")
    template = await connect(_named(url, TEMPLATE), size=1)
    async with template.acquire() as connection:
        await migrate(connection)
    await template.close()
    await _execute(url, f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")


@contextlib.asynccontextmanager
async def fresh_database(url: str, template: str = TEMPLATE) -> AsyncIterator[str]:
    """The address of a copy of the template on the server at `url`, dropped at the end of the block."""
    name = f"test_{next(_numbers)}"
    await _execute(url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield _named(url, name)
    finally:
        await _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _named(url: str, database: str) -> str:
    return url.replace("/postgres?", f"/{database}?")
