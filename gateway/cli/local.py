"""Commands that work on the configuration and its database: migrate, check-config, verify-journal."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence

import asyncpg

from gateway.cli.errors import CommandError
from gateway.cli.terminal import complain, say, show_json, unreadable_database
from gateway.config import Config, ConfigError, load
from gateway.config.warnings import warnings
from gateway.evidence.digests import Anchor
from gateway.logs import log
from gateway.store import journal_check, journal_rows
from gateway.store.database import Connection, open_pool
from gateway.store.journal_rows import RowsCheck
from gateway.store.migrations import migrate as apply_migrations
from gateway.store.migrations import pending


def check_config(arguments: Namespace) -> int:
    """Reads the file as `serve` does: every fault, and a warning of each value that is valid and suspicious."""
    try:
        config = load(arguments.config)
    except ConfigError as error:
        if not arguments.json:
            raise
        show_json({"valid": False, "faults": _by_key(error.errors), "warnings": []})
        return 1
    warned = list(warnings(config))
    if arguments.json:
        show_json({"valid": True, "faults": [], "warnings": _by_key(warned)})
        return 0
    for warning in warned:
        complain(f"warning: {warning}")
    names = ", ".join(link.name for link in config.links)
    services = ", ".join(f"{service.code} ({service.name})" for service in config.services.values())
    say(f"{arguments.config} is valid: services {services}; links {names}")
    return 0


def _by_key(errors: Iterable[ConfigError]) -> list[dict[str, str]]:
    return [{"key": error.key, "message": error.message} for error in errors]


def migrate(arguments: Namespace) -> int:
    """Applies the pending migrations."""
    applied = asyncio.run(_migrate(_config(arguments)))
    if arguments.json:
        show_json({"applied": applied})
        return 0
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say("nothing to do: the database has all migrations")
    return 0


def verify_journal(arguments: Namespace) -> int:
    """Status 0 when the whole chain holds and every row is what the journal says, else 1."""
    try:
        check, rows = asyncio.run(_verify(_config(arguments), arguments.anchor))
    except asyncpg.PostgresError as error:
        raise CommandError(unreadable_database(error)) from None
    fault = check.fault
    if arguments.json:
        shown = None if fault is None else {"seq": fault.seq, "reason": fault.reason}
        chain = {"entries": check.entries, "head": check.head, "root": check.root, "fault": shown}
        show_json(chain | {"cases": rows.cases, "rows": [row._asdict() for row in rows.faults]})
    else:
        if fault is None:
            say(f"the journal holds: {check.entries:,} entries, anchor {check.entries}:{check.root}")
        else:
            say(f"entry {fault.seq} does not hold: {fault.reason}; the chain holds for {check.entries:,} entries")
        for row in rows.faults:
            say(f"case {row.case_id} is not what the journal says: {row.pointer} {row.reason}")
        if not rows.faults:
            say(f"the rows of {rows.cases:,} cases are what the journal says")
    return 0 if fault is None and not rows.faults else 1


def _config(arguments: Namespace) -> Config:
    """The configuration for work on the database: only errors are logged, and no secrets are needed."""
    log.configure("error", sys.stderr.buffer)
    return load(arguments.config, secrets=False)


async def _migrate(config: Config) -> list[str]:
    database = await open_pool(config, size=1)
    try:
        async with database.acquire() as connection:
            return await apply_migrations(connection, schema=config.gateway.schema)
    finally:
        await database.close()


async def _verify(config: Config, anchors: Sequence[Anchor]) -> tuple[journal_check.JournalCheck, RowsCheck]:
    database = await open_pool(config, size=1)
    try:
        async with database.acquire() as connection:
            await _check_schema(connection)
            check = await journal_check.verify(connection, anchors)
            alphabets = {link.name: link.default_alphabet for link in config.links}
            return check, await journal_rows.compare(connection, alphabets)
    finally:
        await database.close()


async def _check_schema(connection: Connection) -> None:
    if await pending(connection):
        raise CommandError("migrations are pending: run `gateway migrate`")
