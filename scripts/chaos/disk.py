"""A small disk that can really run full: a tmpfs that only the processes see which are started on it."""

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import asyncpg

BALLAST = "ballast"
_PIECES = (1 << 24, 1 << 20, 1 << 16, 1 << 12)

# A mount namespace of one's own: others see nothing of it, and it ends with its last process.
_APART = ["unshare", "--mount"]
if os.geteuid() != 0:
    _APART += ["--user", "--map-current-user", "--keep-caps"]


def on_small_disk(directory: Path, megabytes: int, *command: str) -> list[str]:
    """The command, run where `directory` is a disk of that size."""
    mount = f'mount -t tmpfs -o size={megabytes}m,mode=755 tmpfs "$0" && exec "$@"'
    return [*_APART, "sh", "-c", mount, str(directory), *command]


def why_not() -> str | None:
    """Why there can be no small disk here; None when there can."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            trial = subprocess.run(
                on_small_disk(Path(directory), 1, "true"), capture_output=True, text=True, check=False
            )
        except OSError as error:
            return str(error)
        return " ".join(trial.stderr.split()) if trial.returncode else None


def fill(directory: Path) -> None:
    """Leaves no room on the disk, to the last block."""
    with (directory / BALLAST).open("wb") as ballast:
        size = 0
        for piece in _PIECES:
            with suppress(OSError):
                while True:
                    os.posix_fallocate(ballast.fileno(), size, piece)
                    size += piece


def free(directory: Path) -> None:
    """Takes the ballast away."""
    (directory / BALLAST).unlink(missing_ok=True)


async def exhaust_wal(database: Path) -> None:
    """Has the PostgreSQL of the folder, on a full disk, need room for its WAL: it panics, and stays away."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection = await asyncpg.connect(f"postgresql://postgres@/postgres?host={database}")
        while True:
            await connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
