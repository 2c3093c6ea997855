"""The cases of a person or a number. What is searched for is no argument: other users of the machine see these."""

import asyncio
import sys
from argparse import Namespace
from typing import Any

from gateway.cli.errors import CommandError
from gateway.cli.remote import connected
from gateway.cli.terminal import say, show_json, show_table

_COLUMNS = ("case_id", "list_id", "record_id", "service", "state", "opened_at", "relation", "msisdn")
_MAX_CHARACTERS = 100


def find(arguments: Namespace) -> int:
    """The cases of an IIN or a number, which is read from standard input."""
    kind = "iin" if arguments.iin else "msisdn"
    body = {kind: _read("IIN" if arguments.iin else "Number")}
    if arguments.service is not None:
        body["service"] = arguments.service
    response = asyncio.run(_search(arguments, body))
    if arguments.json:
        show_json(response)
        return 0
    rows = [[case[column] for column in _COLUMNS] for case in response["cases"]]
    show_table("Cases", _COLUMNS, rows, empty="There are none.")
    if response.get("truncated"):
        say("there are more; these are the newest")
    if response.get("mistyped"):
        say("the check digit of the IIN is wrong: nobody has it, a digit was mistyped")
    if response.get("indexing"):
        say("the index of people is being filled: nothing is missing, but searches take longer until it is done")
    return 0


def _read(what: str) -> str:
    """One line of standard input, asked for on a terminal."""
    if sys.stdin.isatty():
        sys.stderr.write(f"{what}: ")
        sys.stderr.flush()
    text = sys.stdin.readline(_MAX_CHARACTERS).strip()
    if not text:
        raise CommandError(f"no {what}: type it, or give it on standard input")
    return text


async def _search(arguments: Namespace, body: dict[str, str]) -> Any:
    async with connected(arguments, "ops") as remote:
        return await remote.post("v1", "cases", "search", body=body)
