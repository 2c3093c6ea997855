"""Evidence of consents: printed from the database, checked without it."""

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from gateway.cli.errors import CommandError
from gateway.cli.terminal import say, show_json, unreadable_database
from gateway.config import Config, load
from gateway.evidence import verification
from gateway.evidence.form import MAX_RECORD_BYTES, UnreadableRecordError, read_record
from gateway.logs import log
from gateway.store.database import load_clock, open_pool
from gateway.store.evidence import OutOfReachError, ServiceMissingError, record_of
from gateway.store.journal_blocks import JournalIncompleteError
from gateway.store.migrations import pending


def show(arguments: Namespace) -> int:
    """Prints the record of a case as JSON."""
    log.configure("error", sys.stderr.buffer)
    try:
        record = asyncio.run(_record(load(arguments.config, secrets=False), arguments.case_id, arguments.at))
    except OutOfReachError as error:
        raise CommandError(f"--at {arguments.at}: this case needs a SEQ {error}") from None
    except ServiceMissingError as error:
        raise CommandError(f"services.{error} is missing: put it back to print a case of that service") from None
    except JournalIncompleteError as error:
        raise CommandError(f"{error} of the journal: run `gateway verify-journal`") from None
    except asyncpg.PostgresError as error:
        raise CommandError(unreadable_database(error)) from None
    if record is None:
        raise CommandError(f"there is no case {arguments.case_id}")
    sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
    return 0


def verify(arguments: Namespace) -> int:
    """Status 0 when the record in the file holds, 1 when a part of it does not."""
    try:
        record = read_record(_octets(arguments.file))
    except OSError as error:
        raise CommandError(f"{arguments.file}: {error.strerror}") from None
    except UnreadableRecordError as error:
        raise CommandError(f"{arguments.file} {error}") from None
    faults = verification.check(record, arguments.anchor)
    if arguments.json:
        show_json({"holds": not faults, "faults": [{"pointer": f.pointer, "reason": f.reason} for f in faults]})
    elif faults:
        for fault in faults:
            say(f"{fault.pointer}: {fault.reason}")
    elif isinstance(record, dict):
        case, tree = record["case"], record["tree"]
        say(f"the record of case {case['case_id']} ({case['state']}) holds: {len(record['journal'])} entries")
        if arguments.anchor is None:
            say(f"compare its anchor {tree['size']}:{tree['root']} with a kept one: --anchor")
        else:
            say("and they were in the journal when the anchor was noted")
    return 1 if faults else 0


def _octets(file: str) -> bytes:
    """Those of the file, or of standard input for `-`; no more than make one too long."""
    if file == "-":
        return sys.stdin.buffer.read(MAX_RECORD_BYTES + 1)
    with Path(file).open("rb") as opened:
        return opened.read(MAX_RECORD_BYTES + 1)


async def _record(config: Config, case_id: str, size: int | None) -> dict[str, Any] | None:
    database = await open_pool(config, size=1)
    try:
        async with database.acquire() as connection:
            if await pending(connection):
                raise CommandError("migrations are pending: run `gateway migrate`")
            clock = await load_clock(connection, config.clock.rate)
            return await record_of(
                connection,
                case_id,
                size=size,
                made_at=clock.now(),
                rules=config.reply_rules,
                alphabets=config.default_alphabets,
            )
    finally:
        await database.close()
