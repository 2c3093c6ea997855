"""``gateway backup-check``: walks a restored copy of the database before it goes into service."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import asyncpg

from gateway.cli.errors import CommandError
from gateway.cli.terminal import say, show_json, show_table, unreadable_database
from gateway.config import load
from gateway.logs import log
from gateway.store import backup
from gateway.store.backup import BackupCheck
from gateway.store.database import connect


def backup_check(arguments: Namespace) -> int:
    """Status 0 when the copy holds, else 1. It only reads, in one transaction."""
    log.configure("error", sys.stderr.buffer)
    config = load(arguments.config, secrets=False)
    alphabets = {link.name: link.default_alphabet for link in config.links}
    try:
        found = asyncio.run(_check(arguments.database, config.gateway.schema, alphabets))
    except asyncpg.PostgresError as error:
        raise CommandError(unreadable_database(error)) from None
    if arguments.json:
        show_json(_as_json(found))
    else:
        _show(found)
    return 0 if found.holds else 1


async def _check(url: str, schema: str | None, alphabets: Mapping[str, str]) -> BackupCheck:
    database = await connect(url, size=1, node="backup-check", schema=schema)
    try:
        async with database.acquire() as connection:
            return await backup.check(connection, alphabets)
    finally:
        await database.close()


def _as_json(found: BackupCheck) -> dict[str, Any]:
    chain, rows = found.journal, found.rows
    fault = chain.fault if chain is not None else None
    return {
        "holds": found.holds,
        "pending_migrations": list(found.migrations),
        "head": None
        if chain is None
        else {"seq": chain.entries, "hash": chain.head, "root": chain.root, "at": found.sealed_at},
        "journal_fault": None if fault is None else {"seq": fault.seq, "reason": fault.reason},
        "cases": rows.cases if rows is not None else 0,
        "cases_not_compared": found.unsealed,
        "rows": [row._asdict() for row in rows.faults] if rows is not None else [],
        "sequences": [column._asdict() | {"holds": column.holds} for column in found.sequences],
        "open_cases": [counted._asdict() for counted in found.open_cases],
        "entries": [compared._asdict() | {"holds": compared.holds} for compared in found.entries],
    }


def _show(found: BackupCheck) -> None:
    checks: list[tuple[str, str, str]] = [
        ("migrations", _verdict(not found.migrations), ", ".join(found.migrations) or "complete")
    ]
    chain, rows = found.journal, found.rows
    if chain is not None and rows is not None:
        fault = chain.fault
        shown = f"{chain.entries:,} entries" if fault is None else f"entry {fault.seq}: {fault.reason}"
        checks.append(("journal and tree", _verdict(fault is None), shown))
        shown = f"{rows.cases:,} cases compared, {found.unsealed:,} with entries that are not sealed left out"
        checks.append(("rows and journal", _verdict(not rows.faults), shown))
        checks += [("", "", f"case {row.case_id}: {row.pointer} {row.reason}") for row in rows.faults]
        behind = [column for column in found.sequences if not column.holds]
        shown = ", ".join(f"{c.table}.{c.column} gives {c.next}, has {c.highest}" for c in behind)
        checks.append(
            ("sequences", _verdict(not behind), shown or f"{len(found.sequences)} are ahead of their rows")
        )
        stuck = [counted for counted in found.open_cases if counted.stuck]
        shown = ", ".join(f"{counted.stuck:,} {counted.state} that nothing carries on" for counted in stuck)
        open_cases = sum(counted.cases for counted in found.open_cases)
        checks.append(("open cases", _verdict(not stuck), shown or f"{open_cases:,}, each is carried on by a row"))
        wrong = [compared for compared in found.entries if not compared.holds]
        shown = ", ".join(f"{c.table}: {c.missing:,} missing, {c.left_over:,} left over" for c in wrong)
        checks.append(("entries", _verdict(not wrong), shown or "follow from cases and texts"))
    show_table("Copy", ("part", "holds", "found"), checks, empty="")
    if found.open_cases:
        columns = ("state", "cases", "stuck")
        show_table("Open cases", columns, [tuple(counted) for counted in found.open_cases], empty="")
    if chain is not None:
        at = found.sealed_at.isoformat() if found.sealed_at else "never"
        say(f"last entry: {chain.entries} {chain.head}, {at}")
        say(f"anchor {chain.entries}:{chain.root}; compare it with the last journal_anchor line of the log")


def _verdict(holds: bool) -> str:
    return "yes" if holds else "NO"
