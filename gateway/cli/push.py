"""`gateway push`: a recipient list from a file to a running gateway."""

import asyncio
import gzip
import os
import re
import zlib
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from gateway.cli.errors import CommandError
from gateway.cli.remote import connected
from gateway.cli.terminal import console, say, show_json, show_table
from gateway.intake.fields import DETAILS

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PIECE_BYTES = 1 << 18
_SUFFIXES = re.compile(r"(\.ndjson|\.jsonl|\.json)?(\.gz)?$", re.IGNORECASE)
_LIST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def push(arguments: Namespace) -> int:
    """Status 0 when every record was accepted or is a duplicate, 1 when some were rejected."""
    path = Path(arguments.file)
    list_id = arguments.list_id or _SUFFIXES.sub("", path.name)
    if not _LIST_ID.fullmatch(list_id):
        raise CommandError(f"{list_id!r} is no list_id: name one by --list-id (1 to 64 of A-Z a-z 0-9 . _ -)")
    try:
        with path.open("rb") as file:
            result = asyncio.run(_push(arguments, file, list_id))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    if arguments.json:
        show_json(result)
    else:
        _show(result, path)
    return 1 if result["rejected"] else 0


async def _push(arguments: Namespace, file: BinaryIO, list_id: str) -> Any:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    zipped = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    shown = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    async with connected(arguments, "sdu") as remote:
        with Progress(*shown, console=console(stderr=True)) as progress:
            task = progress.add_task(list_id, total=size)

            async def pieces() -> AsyncIterator[bytes]:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
                    progress.advance(task, len(piece))
                progress.update(task, description=f"{list_id}: sent, being accepted")

            return await remote.call(
                "PUT", "v1", "lists", list_id,
                params={"service": arguments.service} if arguments.service else {},
                data=pieces(),
                content_type="application/x-ndjson",
                encoding="gzip" if zipped else None,
                timeout_seconds=None,  # millions of lines take long
            )  # fmt: skip


def _show(result: dict[str, Any], path: Path) -> None:
    errors = result["errors"]
    if errors:
        columns = ("line", "record_id", "pointer", "code", "detail")
        faults = json_faults(path, {error["line"] for error in errors if error["code"] == "json"})
        errors = [
            {**error, "detail": faults.get(error["line"], DETAILS.get(error["code"], ""))} for error in errors
        ]
        show_table("Rejected", columns, [[error.get(key) for key in columns] for error in errors], empty="")
    if result["rejected"] > len({error["line"] for error in errors}):
        say(f"The table is incomplete; all errors: GET /v1/lists/{result['list_id']}/errors")
    if result["duplicates"]:
        say(f"The lines of the duplicates: GET /v1/lists/{result['list_id']}/errors")
    say(
        f"{result['list_id']}: {result['records']:,} records, {result['accepted']:,} accepted, "
        f"{result['duplicates']:,} duplicates, {result['rejected']:,} rejected"
    )


def json_faults(path: Path, lines: set[int]) -> dict[int, str]:
    """By line, where its JSON breaks off and why; lines that are JSON of another form are left out.

    So are those of a file that has changed meanwhile, and cannot be read any more.
    """
    faults: dict[int, str] = {}
    with suppress(OSError, EOFError, zlib.error), _opened(path) as file:
        for number, line in enumerate(islice(_beginnings(file), max(lines, default=0)), start=1):
            if number in lines:
                try:
                    orjson.loads(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)
                except orjson.JSONDecodeError as error:
                    faults[number] = f"no JSON from column {error.colno} on: {error.msg}"
    return faults


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as raw:
        zipped = raw.read(len(_GZIP)) == _GZIP
    return cast("BinaryIO", gzip.open(path) if zipped else path.open("rb"))


def _beginnings(file: BinaryIO) -> Iterator[bytes]:
    """Each line; of one that is too long for a record, which gzip makes of nothing, its beginning."""
    while line := file.readline(_PIECE_BYTES):
        yield line
        while len(line) == _PIECE_BYTES and not line.endswith(b"\n"):
            line = file.readline(_PIECE_BYTES)
