"""What systemd is told by NOTIFY_SOCKET: a real unix socket receives it."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import notify
from tests.harness import WITHIN, Harness, harness

__all__ = ["harness"]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(WITHIN)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def received(sock: socket.socket) -> list[str]:
    return sock.recv(4096).decode().splitlines()


async def test_a_process_notifies_systemd_of_ready_and_stopping(harness: Harness, manager: socket.socket) -> None:
    await harness.start()
    assert (await asyncio.to_thread(received, manager))[0] == "READY=1"
    assert await harness.stop() == [0]
    assert await asyncio.to_thread(received, manager) == ["STOPPING=1"]


async def test_the_watchdog_is_notified_while_the_event_loop_runs(manager: socket.socket) -> None:
    environ = {**os.environ, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": str(os.getpid())}
    async with notify.watchdog(environ):
        for _ in range(3):
            assert await asyncio.to_thread(received, manager) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "60000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}],
)
async def test_a_process_without_a_watchdog_of_its_own_notifies_nobody(
    manager: socket.socket, environ: dict[str, str]
) -> None:
    manager.setblocking(False)
    async with notify.watchdog({**os.environ, **environ}):
        await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        manager.recv(1)


def test_an_abstract_notify_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"gateway-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(WITHIN)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify.ready("serving")
        assert received(sock) == ["READY=1", "STATUS=serving"]


def test_a_missing_or_full_notify_socket_stops_no_process(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10_000):  # more than its buffer holds
        notify.ready()
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    notify.stopping()
