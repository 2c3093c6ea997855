"""The commands of docs/ops/database.md run as they stand there, and bring about what the page says."""

import asyncio
import gzip
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import asyncpg
import psutil
import pytest
import yaml
from ports import free_port

from gateway.config.model import Durability
from gateway.store.embedded import SETTINGS, EmbeddedServer
from gateway.store.migrations import migrate
from tests.cli.test_backup_check import CONFIG
from tests.docs.code_facts import ROOT
from tests.store.test_journal_rows import CAMPAIGN

PAGE = (ROOT / "docs" / "ops" / "database.md").read_text(encoding="utf-8")
PASSWORD = "the test's"
WITHIN_SECONDS = 60.0
_GATEWAY = f"""#!/bin/sh
PYTHONPATH={ROOT} exec {sys.executable} -P -m gateway "$@"
"""
_NOTE = """
INSERT INTO wallet_events (event_id, case_id, type, at)
SELECT 'note ' || gen_random_uuid(), case_id, 'used', clock_timestamp() FROM cases ORDER BY case_id LIMIT 1
"""


class Block(NamedTuple):
    """A fenced block of the page."""

    section: str
    language: str
    text: str

    @property
    def host(self) -> str:
        return self.text.partition("\n")[0].removeprefix("# on ")


def blocks() -> Iterator[Block]:
    """All of the page, in order."""
    section = ""
    for found in re.finditer(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        section = found[1] or section
        if found[2]:
            yield Block(section, found[2], found[3])


class Hosts:
    """The hosts of the page: folders of one machine.

    Commands run as the user of the embedded server; those of the gateway as the test's, which can open its Python.
    """

    def __init__(self, directory: Path) -> None:
        postmaster = psutil.Process(int((directory / "var/postgresql/postmaster.pid").read_text().split()[0]))
        self._user = postmaster.username() if os.geteuid() == 0 else None
        self._directory = directory
        self._ports = {host: free_port() for host in ("db1", "db2", "restore")}
        self.programs = Path(postmaster.exe()).parent
        for folder in ("bin", "backup", "archive", *self._ports):
            (directory / folder).mkdir()
        (directory / "password").write_text(PASSWORD)
        (directory / "config.toml").write_text(CONFIG)
        (directory / "bin/gateway").write_text(_GATEWAY)
        (directory / "bin/gateway").chmod(0o755)
        if self._user is not None:
            for folder in ("backup", "archive", *self._ports):
                shutil.chown(directory / folder, self._user, self._user)

    def run(self, block: Block, **variables: str) -> None:
        """Runs its commands on its host; the first that fails ends them and the test."""
        host, directory = block.host, self._directory
        environment = {
            "PATH": f"{directory / 'bin'}:{self.programs}:{os.environ['PATH']}", "LC_ALL": "C",
            "HOME": str(directory), "PGDATA": str(directory / host / "data"), "PGPORT": str(self._ports[host]),
            "PGHOST": "127.0.0.1", "PGUSER": "postgres", "PGPASSWORD": PASSWORD, "GATEWAY_PASSWORD": PASSWORD,
            "PASSWORD_FILE": str(directory / "password"), "DATA_DIR": str(directory / "var"),
            "BACKUP": str(directory / "backup"), "WAL_ARCHIVE": str(directory / "archive"),
            **{name.upper(): f"host=127.0.0.1 port={port}" for name, port in self._ports.items()}, **variables,
        }  # fmt: skip
        with (directory / "output").open("w+") as output:  # a pipe would stay open with the server
            for is_ours, lines in itertools.groupby(block.text.splitlines(keepends=True), _is_ours):
                done = subprocess.run(
                    ["sh", "-euxc", "".join(lines)], env=environment, cwd=directory,
                    user=None if is_ours else self._user, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    timeout=WITHIN_SECONDS, check=False,
                )  # fmt: skip
                if done.returncode:
                    output.seek(0)
                    pytest.fail(f"{block.section}:\n{output.read()}")

    def stop(self, host: str) -> None:
        """Stops the server of this host at once, as a crash does, if it runs."""
        if (self._directory / host / "data/postmaster.pid").exists():
            self.run(Block("", "sh", f"# on {host}\npg_ctl stop --mode=immediate"))

    async def ask(self, host: str, query: str, expected: Any = None) -> Any:
        """The value of the query on the database there, once it is the expected one if that is given."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self._ports[host], user="postgres", password=PASSWORD, database="sms"
        )
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                while (value := await connection.fetchval(query)) != expected and expected is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            return value
        finally:
            await connection.close()


def _is_ours(line: str) -> bool:
    return re.match(r"(\w+=\S+ )?gateway ", line) is not None


async def make_embedded(directory: Path) -> tuple[Hosts, int]:
    """The hosts, and the number of cases in an embedded database in `var` that has stopped."""
    directory.chmod(0o755)  # noqa: ASYNC240 (for the server's user)
    server = EmbeddedServer(directory / "var", {**SETTINGS, "shared_buffers": "16MB", "fsync": "off"})
    connection = await asyncpg.connect(await server.ensure())
    await connection.execute(gzip.decompress(CAMPAIGN.read_bytes()).decode())
    await connection.execute("SET search_path = public")
    await migrate(connection)
    cases = await connection.fetchval("SELECT count(*) FROM cases")
    await connection.close()
    hosts = Hosts(directory)
    await asyncio.to_thread(server.release)
    return hosts, cases


@pytest.mark.long
async def test_the_commands_of_the_page_move_replicate_fail_over_back_up_and_restore(data_dir: Path) -> None:
    hosts, cases = await make_embedded(data_dir)
    page = [block for block in blocks() if block.language == "sh"]
    server, roles, move, standby, synchronous, promote, rewind, base, switch, restore, dump = page
    try:
        for block in (server, roles, move, standby, synchronous):
            await asyncio.to_thread(hosts.run, block)
        assert await hosts.ask("db1", "SELECT count(*) FROM cases") == cases > 0
        assert await hosts.ask("db1", "SELECT max(application_name) FROM pg_stat_replication") == "standby1"
        assert await hosts.ask("db1", "SELECT max(sync_state) FROM pg_stat_replication", "quorum")
        await hosts.ask("db1", _NOTE)  # it waits for the standby
        await asyncio.to_thread(hosts.stop, "db1")
        await asyncio.to_thread(hosts.run, promote)
        assert await hosts.ask("db2", "SELECT count(*) FROM wallet_events WHERE event_id LIKE 'note %'") == 1
        await hosts.ask("db2", _NOTE)  # it waits for nobody
        await asyncio.to_thread(hosts.run, rewind)
        assert await hosts.ask("db1", "SELECT pg_is_in_recovery()") is True
        assert await hosts.ask("db2", "SELECT max(application_name) FROM pg_stat_replication", "standby2")
        await asyncio.to_thread(hosts.run, base)
        await hosts.ask("db2", _NOTE)
        until = await hosts.ask("db2", "SELECT clock_timestamp()")
        await hosts.ask("db2", _NOTE)
        await asyncio.to_thread(hosts.run, switch)
        await asyncio.to_thread(hosts.run, restore, RESTORE_TIME=until.isoformat(" "))
        assert await hosts.ask("restore", "SELECT count(*) FROM wallet_events WHERE event_id LIKE 'note %'") == 3
        await hosts.ask("restore", _NOTE)  # it waits for nobody
        await asyncio.to_thread(hosts.run, dump)
        assert await hosts.ask("db2", "SELECT count(*) FROM pg_database WHERE datname = 'sms_restored'") == 1
    finally:
        for host in ("restore", "db1", "db2"):
            await asyncio.to_thread(hosts.stop, host)


def test_every_command_of_the_page_names_its_host() -> None:
    shell = [block for block in blocks() if block.language == "sh"]
    assert {block.host for block in shell} == {"db1", "db2", "restore"}
    assert PAGE.count("```") == 2 * len(list(blocks()))


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block.language != "sh"], ids=lambda b: b.language
)
def test_configuration_on_the_database_page_is_valid_for_its_program(block: Block) -> None:
    match block.language:
        case "yaml":
            patroni = yaml.safe_load(block.text)
            assert patroni["bootstrap"]["dcs"]["synchronous_mode"] is True
        case "toml":
            assert tomllib.loads(block.text)["gateway"]["durability"] in get_args(Durability)
        case language:
            assert language == "ini"
            assert "pool_mode = session\n" in block.text
