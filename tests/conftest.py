"""PostgreSQL for the tests: one server for each worker, with a migrated template that is copied for each test."""

import asyncio
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of the server's default database. The server also has the template."""
    with _folder() as directory:
        server = EmbeddedServer(directory, {**SETTINGS, **FAST_SETTINGS})
        url = server.start()
        asyncio.run(_make_template(url))
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
