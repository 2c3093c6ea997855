"""What ops ask a running gateway, and what they tell it about a case."""

import asyncio
from argparse import Namespace
from typing import Any

from gateway.cli.remote import connected
from gateway.cli.terminal import say, show_json, show_table

_LIST_COLUMNS = ("list_id", "service", "records", "accepted", "duplicates", "rejected", "received_at")
_LINK_COLUMNS = ("link", "node", "bound", "queued")
_JOURNAL_COLUMNS = ("seq", "at", "event", "detail")


def lists(arguments: Namespace) -> int:
    """The latest lists."""
    answer = asyncio.run(_get(arguments, "lists"))
    if arguments.json:
        show_json(answer)
    else:
        _show_rows("Lists", _LIST_COLUMNS, answer["lists"], empty="No list has come yet.")
    return 0


def status(arguments: Namespace) -> int:
    """A list's counts and where its cases are."""
    answer = asyncio.run(_get(arguments, "lists", arguments.list_id))
    if arguments.json:
        show_json(answer)
        return 0
    _show_rows("List", _LIST_COLUMNS[:-1], [answer], empty="")
    accepted = answer["accepted"] or 1
    rows = [(state, cases, f"{cases / accepted:.1%}") for state, cases in answer["progress"].items() if cases]
    show_table("Cases", ("state", "cases", "share"), rows, empty="It has no cases.")
    return 0


def case(arguments: Namespace) -> int:
    """A case and its journal."""
    _show_case(arguments, asyncio.run(_get(arguments, "cases", arguments.case_id)))
    return 0


def links(arguments: Namespace) -> int:
    """Who holds which link."""
    answer = asyncio.run(_get(arguments, "links"))
    if arguments.json:
        show_json(answer)
    else:
        _show_rows("Links", _LINK_COLUMNS, answer["links"], empty="No link is configured.")
    return 0


def cancel(arguments: Namespace) -> int:
    """Ends a case."""
    return _act(arguments, "cancel", {"reason": arguments.reason})


def release(arguments: Namespace) -> int:
    """Lets a parked case go on."""
    return _act(arguments, "release", None)


def resend(arguments: Namespace) -> int:
    """Sends a case's current text again."""
    return _act(arguments, "resend", None)


def _act(arguments: Namespace, act: str, body: dict[str, str] | None) -> int:
    async def call() -> Any:
        async with connected(arguments, "ops") as remote:
            return await remote.post("v1", "cases", arguments.case_id, act, body=body)

    _show_case(arguments, asyncio.run(call()))
    return 0


async def _get(arguments: Namespace, *path: str) -> Any:
    async with connected(arguments, "ops") as remote:
        return await remote.get("v1", *path)


def _show_case(arguments: Namespace, shown: dict[str, Any]) -> None:
    if arguments.json:
        show_json(shown)
        return
    recipient = shown.get("recipient") or {}
    say(f"{shown['case_id']}: {shown['state']}")
    say(f"  list {shown['list_id']}, record {shown['record_id']}, service {shown['service']}")
    say(f"  opened {shown['opened_at']}, ended {shown['ended_at'] or 'not yet'}")
    if recipient:
        say(f"  asks the {recipient['relation']}, {recipient['msisdn']}")
    _show_rows("Journal", _JOURNAL_COLUMNS, shown.get("journal", []), empty="Its journal is empty.")


def _show_rows(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]], *, empty: str) -> None:
    show_table(title, columns, [[row.get(column) for column in columns] for row in rows], empty=empty)
