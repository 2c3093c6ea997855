"""The embedded server under misfortune: it ends while it is awaited, its disk is full, its number is another's."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from gateway.store import embedded
from gateway.store.embedded import EmbeddedError, EmbeddedServer
from tests.store.test_database import ROOT, SMALL, gone, postmaster


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir, SMALL)
    yield server
    server.release()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the server was started, each time."""
    launch, at = embedded._launch, []

    def launch_and_count(server: Any) -> None:
        at.append(time.monotonic())
        launch(server)

    monkeypatch.setattr(embedded, "_launch", launch_and_count)
    return at


async def answers(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT true")
    finally:
        await connection.close()


def kill(data_dir: Path) -> None:
    process = postmaster(data_dir)
    process.kill()
    wait_until(lambda: gone(process))


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.01)


async def test_all_who_ask_wait_for_one_start(
    server: EmbeddedServer, data_dir: Path, launches: list[float]
) -> None:
    await server.ensure()
    kill(data_dir)
    launches.clear()
    urls = await asyncio.gather(*(server.ensure() for _ in range(20)))
    assert len(set(urls)) == 1
    assert await answers(urls[0])
    assert len(launches) <= 2  # the first may meet remains of the killed one


async def test_who_does_not_want_to_wait_does_not_end_the_start(server: EmbeddedServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await server.ensure()
    assert await answers(await server.ensure())


async def test_it_comes_up_although_it_ends_just_when_it_was_started(
    server: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: it takes connections for a moment."""
    launch, ended = embedded._launch, []

    def launch_and_end(package: Any) -> None:
        launch(package)
        if not ended:
            process = postmaster(data_dir)
            children = process.children()
            process.kill()
            ended.append(process)
            psutil.wait_procs([process, *children], timeout=10)
            (data_dir / "postgresql/postmaster.pid").unlink()

    monkeypatch.setattr(embedded, "_launch", launch_and_end)
    async with asyncio.timeout(20):
        assert await answers(await server.ensure())
    assert ended


async def test_a_mark_whose_number_is_now_another_programs_keeps_nobody_from_starting(
    server: EmbeddedServer, data_dir: Path
) -> None:
    """A container's numbers are small and come again."""
    await server.ensure()
    mark = data_dir / "postgresql/postmaster.pid"
    left = mark.read_text().splitlines()
    kill(data_dir)
    mark.write_text("\n".join([str(os.getpid()), *left[1:]]) + "\n")
    assert await answers(await server.ensure())


async def test_giving_it_up_ends_a_start_that_does_not_succeed(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, {**SMALL, "wal_level": "no-such"})
    starting = asyncio.create_task(server.ensure())
    await asyncio.to_thread(wait_until, (data_dir / "postgresql/log").exists)
    await asyncio.to_thread(server.release)
    with pytest.raises(EmbeddedError, match="is not needed any more"):
        await starting


async def test_settings_that_stand_there_are_not_written_again(server: EmbeddedServer, data_dir: Path) -> None:
    """Nothing would be left of them on a full disk."""
    settings = data_dir / "postgresql/gateway.conf"
    await server.ensure()
    written = settings.stat().st_mtime_ns
    server.release()
    await server.ensure()
    assert settings.stat().st_mtime_ns == written


def test_server_starts_where_the_lock_file_of_the_temporary_folder_is_not_ours(data_dir: Path) -> None:
    """Another user's file there cannot be opened. Root may open any, so here it is a folder."""
    temporary = data_dir / "temporary"
    (temporary / ".lockfile").mkdir(parents=True)
    program = (
        "import sys; from pathlib import Path; from gateway.store.embedded import EmbeddedServer\n"
        "server = EmbeddedServer(Path(sys.argv[1])); server.start(); server.release()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, data_dir / "var"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), "XDG_RUNTIME_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_server_starts_in_a_folder_whose_name_has_spaces_and_an_apostrophe(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir / "it's a folder", SMALL)
    try:
        assert await answers(await server.ensure())
    finally:
        await asyncio.to_thread(server.release)
