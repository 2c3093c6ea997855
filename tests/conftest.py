"""PostgreSQL for the tests: one server a worker, one migrated template, a fresh copy of it for each test."""

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from gateway.store.database import Database, connect
from gateway.store.embedded import SETTINGS, EmbeddedServer
from gateway.store.migrations import migrate

# Nobody minds these databases: they may be lost with the machine, and live too shortly for a vacuum.
SPEED = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
}
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2 << 30
TEMPLATE = "migrated"

# The same examples in each run, and no verdict on how fast a busy machine is.
hypothesis.settings.register_profile("deterministic", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("deterministic")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a server's own database; beside it lies the template."""
    with _folder() as directory:
        server = EmbeddedServer(directory, {**SETTINGS, **SPEED})
        url = server.start()
        asyncio.run(_make_template(url))
        yield url
        server.release()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for an embedded server. Not `tmp_path`: another pytest may close that to the server's user."""
    with _folder() as directory:
        yield directory


@pytest.fixture
async def database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a migrated, empty database of this test's own."""
    async with fresh_database(postgres) as url:
        yield url


@pytest.fixture
async def bare_database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a database that no migration has touched."""
    async with fresh_database(postgres, "template1") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """This test's own database, open."""
    database = await connect(database_url, size=4, node="test")
    yield database
    await database.close()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="gateway-tests-", dir=_quickest_place()))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _quickest_place() -> Path | None:
    """Memory, where there is plenty of it: a copy is some 300 files, and a busy disk takes long over them."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_MEMORY:
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
    """The address of a copy of the template, on the server at `url`, for as long as the block lasts."""
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
