"""The gateway behind a real pgbouncer, where one is installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ports import free_port

from gateway.config.policy import DatabasePolicy
from gateway.store.database import DatabaseError, connect

PROGRAM = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
TIMEOUT_SECONDS = 30
POLICY = DatabasePolicy(only_host_timeout_seconds=5.0)

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@contextmanager
def pgbouncer(database_url: str, directory: Path, mode: str) -> Iterator[str]:
    """The address of this test's database by a pgbouncer in that pool mode."""
    address, port = urlsplit(database_url), free_port()
    query = parse_qs(address.query)
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"""[databases]
* = host={query["host"][0]} port={query["port"][0]} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 5
"""
    )
    user: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root, and only the user of the embedded server may use its socket
        user = ["-u", "pgserver"]
        directory.chmod(0o755)
    with subprocess.Popen(
        [PROGRAM or "", "-q", *user, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield f"postgresql://postgres@127.0.0.1:{port}{address.path}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    """Returns once somebody listens there."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < until, "pgbouncer does not start"
            time.sleep(0.02)


async def test_session_pooling_works_and_every_session_has_our_settings(database_url: str, data_dir: Path) -> None:
    with pgbouncer(database_url, data_dir, "session") as url:
        for _ in range(2):  # the second time on sessions that pgbouncer has reset
            database = await connect(url, size=4, node="test")
            async with database.acquire() as first, database.acquire() as second:
                for connection in (first, second):
                    assert await connection.fetchval("SHOW jit") == "off"
                    assert await connection.fetchval("SHOW lock_timeout") == "10s"
                    assert await connection.fetchval("SHOW application_name") == "gateway test"
            await database.close()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_another_pooling_is_refused_with_the_way_out(database_url: str, data_dir: Path, mode: str) -> None:
    with (
        pgbouncer(database_url, data_dir, mode) as url,
        pytest.raises(DatabaseError, match=r"transaction pooling.* session pooling, or connect to "),
    ):
        await connect(url, size=4, policy=POLICY)


async def test_a_pool_of_too_few_sessions_is_told(database_url: str, data_dir: Path) -> None:
    policy = DatabasePolicy(only_host_timeout_seconds=1.0)
    refused = pytest.raises(DatabaseError, match="cannot be reached: no response within 1 s")
    with pgbouncer(database_url, data_dir, "session") as url, refused:
        await connect(url, size=6, policy=policy)
