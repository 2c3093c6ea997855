"""What the service manager is told, as `sd_notify` of systemd does: ready, stopping, alive.

Nothing happens without NOTIFY_SOCKET, that is outside of a unit with `Type=notify`.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

_MICROSECONDS = 1_000_000
_PINGS_PER_TIMEOUT = 3


def ready(status: str = "") -> None:
    """The process serves; `status` is what `systemctl status` shows."""
    _notify(f"READY=1\nSTATUS={status}", os.environ)


def stopping() -> None:
    """The process drains."""
    _notify("STOPPING=1", os.environ)


@asynccontextmanager
async def watchdog(environ: Mapping[str, str] = os.environ) -> AsyncIterator[None]:
    """Inside the block the event loop tells that it turns, three times in each WATCHDOG_USEC."""
    if (seconds := _watchdog_seconds(environ)) is None:
        yield
        return
    pings = asyncio.create_task(_ping(seconds / _PINGS_PER_TIMEOUT, environ))
    try:
        yield
    finally:
        pings.cancel()


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """The time-out of the watchdog; None where it is not for this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / _MICROSECONDS if microseconds.isdecimal() and int(microseconds) else None


async def _ping(every_seconds: float, environ: Mapping[str, str]) -> None:
    while True:
        _notify("WATCHDOG=1", environ)
        await asyncio.sleep(every_seconds)


def _notify(state: str, environ: Mapping[str, str]) -> None:
    path = environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path  # "@": an abstract socket
    # A service manager that does not read must not stop the gateway.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)
