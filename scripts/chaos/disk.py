"""A small disk that can be filled: a tmpfs that only the processes see that are started on it."""

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import asyncpg

BALLAST = "ballast"
_BLOCK_BYTES = (1 << 24, 1 << 20, 1 << 16, 1 << 12)

# A mount namespace: other processes do not see the mount, and it ends with its last process.
_IN_NAMESPACE = ["unshare", "--mount"]
if os.geteuid() != 0:
    _IN_NAMESPACE += ["--user", "--map-current-user", "--keep-caps"]


def on_small_disk(directory: Path, megabytes: int, *command: str) -> list[str]:
    """The command line that runs `command` with `directory` as a disk of that size."""
    mount = f'mount -t tmpfs -o size={megabytes}m,mode=755 tmpfs "$0" && exec "$@"'
    return [*_IN_NAMESPACE, "sh", "-c", mount, str(directory), *command]


def why_not() -> str | None:
    """Why a small disk cannot be mounted here; None when it can."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            trial = subprocess.run(
                on_small_disk(Path(directory), 1, "true"), capture_output=True, text=True, check=False
            )
        except OSError as error:
            return str(error)
        return " ".join(trial.stderr.split()) if trial.returncode else None


def fill(directory: Path) -> None:
    """Fills the disk to the last block."""
    with (directory / BALLAST).open("wb") as ballast:
        size = 0
        for block in _BLOCK_BYTES:
            with suppress(OSError):
                while True:
                    os.posix_fallocate(ballast.fileno(), size, block)
                    size += block


def free(directory: Path) -> None:
    """Removes what `fill` wrote."""
    (directory / BALLAST).unlink(missing_ok=True)


async def exhaust_wal(database: Path) -> None:
    """Writes WAL until the PostgreSQL in that folder, on a full disk, panics; it stays down."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection = await asyncpg.connect(f"postgresql://postgres@/postgres?host={database}")
        while True:
            await connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
