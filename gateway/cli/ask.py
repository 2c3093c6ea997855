"""Commands to a running gateway that show lists, cases and links, and act on cases."""

import asyncio
import difflib
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.cli.errors import CommandError
from gateway.cli.remote import Remote, connected
from gateway.cli.terminal import confirm, say, show_json, show_table
from gateway.consent.case import State

_LIST_COLUMNS = ("list_id", "service", "records", "accepted", "duplicates", "rejected", "received_at")
_LINK_COLUMNS = ("link", "node", "bound", "queued", "bind_failure", "next_bind_at")
_CASE_COLUMNS = ("case_id", "list_id", "record_id", "state", "opened_at", "ended_at")
_PARKED_COLUMNS = ("case_id", "list_id", "record_id", "since", "reason")
_HELD_COLUMNS = ("case_id", "list_id", "record_id", "state", "since", "link", "operator", "verdict")
_JOURNAL_COLUMNS = ("seq", "at", "event", "detail")

_STATES = (*(state.value for state in State if state is not State.WAITING), "held")
"""The states as `gateway status` names them, and `held`."""

_PAGE_CASES = 500
"""Cases requested, or released, by one request."""
_PARKED_SHOWN = 20
"""The number of parked cases shown beside the counts of a list; `gateway cases --state parked` has all."""


def lists(arguments: Namespace) -> int:
    """The latest lists."""
    response = asyncio.run(_get(arguments, "lists"))
    if arguments.json:
        show_json(response)
    else:
        services = {one["service"] for one in response["lists"]}
        columns = _LIST_COLUMNS if len(services) > 1 else [one for one in _LIST_COLUMNS if one != "service"]
        _show_rows("Lists", columns, response["lists"], empty="No list was accepted yet.")
    return 0


def status(arguments: Namespace) -> int:
    """A list's counts, its cases by state, and the parked ones with their reasons."""
    counts, parked = asyncio.run(_status(arguments))
    if arguments.json:
        show_json(counts)
        return 0
    _show_rows("List", _LIST_COLUMNS[:-1], [counts], empty="")
    accepted = counts["accepted"] or 1
    rows = [(state, cases, f"{cases / accepted:.1%}") for state, cases in counts["progress"].items() if cases]
    show_table("Cases", ("state", "cases", "share"), rows, empty="It has no cases.")
    if parked:
        _show_parked(parked)
    if (more := counts["progress"]["parked"] - len(parked)) > 0:
        say(f"and {more:,} more: gateway cases --state parked {arguments.list_id}")
    return 0


def cases(arguments: Namespace, page_cases: int = _PAGE_CASES) -> int:
    """Cases by list and state."""
    found, after = asyncio.run(_cases(arguments, page_cases))
    if arguments.json:
        show_json({"cases": found, "next": after})
        return 0
    if arguments.state == "parked":
        _show_parked(found)
    elif arguments.state == "held":
        _show_held(found)
    else:
        _show_rows("Cases", _CASE_COLUMNS, found, empty="There are none.")
    if after is not None:
        say(f"there may be more: --after {after}")
    return 0


def case(arguments: Namespace) -> int:
    """A case and its journal."""
    _show_case(arguments, asyncio.run(_get(arguments, "cases", arguments.case_id)))
    return 0


def links(arguments: Namespace) -> int:
    """The links, the process that holds each, and what its binds wait for."""
    response = asyncio.run(_get(arguments, "links"))
    if arguments.json:
        show_json(response)
    else:
        _show_rows("Links", _LINK_COLUMNS, response["links"], empty="No link is configured.")
    return 0


def bind_now(arguments: Namespace) -> int:
    """Has the process that holds a link try to bind at once."""

    async def call() -> Any:
        async with connected(arguments, "ops") as remote:
            return await remote.post("v1", "links", arguments.link_id, "bind")

    link = asyncio.run(call())
    if arguments.json:
        show_json(link)
    elif link["bind_failure"] is None:
        say(f"{link['link']}: {link['bound']} sessions are bound, none waits")
    else:
        say(f"{link['link']}: {link['node']} tries within seconds; the last attempt: {link['bind_failure']}")
    return 0


def cancel(arguments: Namespace) -> int:
    """Ends a case, once that is confirmed."""
    confirm(f"Cancel case {arguments.case_id}? It ends for good.", arguments)
    return _act(arguments, "cancel", {"reason": arguments.reason})


def release(arguments: Namespace, page_cases: int = _PAGE_CASES) -> int:
    """Releases a parked case, or all of a list, or all."""
    if arguments.case_id is not None:
        return _act(arguments, "release", None)
    if arguments.all:
        confirm("Release all parked cases of all lists?", arguments)
    released = asyncio.run(_release_all(arguments, page_cases))
    if arguments.json:
        show_json({"released": released})
    else:
        say(f"{released:,} released" if released else "Nothing is parked.")
    return 0


def resend(arguments: Namespace) -> int:
    """Sends a case's current text again."""
    return _act(arguments, "resend", None)


def accept_reply(arguments: Namespace) -> int:
    """Counts the held reply of a case."""
    return _act(arguments, "accept-reply", None)


def _act(arguments: Namespace, act: str, body: dict[str, str] | None) -> int:
    async def call() -> Any:
        async with connected(arguments, "ops") as remote:
            return await remote.post("v1", "cases", arguments.case_id, act, body=body)

    _show_case(arguments, asyncio.run(call()))
    return 0


async def _get(arguments: Namespace, *path: str) -> Any:
    async with connected(arguments, "ops") as remote:
        return await remote.get("v1", *path)


async def _status(arguments: Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The list, and the first of its cases that are parked."""
    async with connected(arguments, "ops") as remote:
        counts = await remote.get("v1", "lists", arguments.list_id)
        if arguments.json or not counts["progress"]["parked"]:
            return counts, []
        query = {"list_id": arguments.list_id, "state": "parked", "limit": str(_PARKED_SHOWN)}
        return counts, (await remote.get("v1", "cases", **query))["cases"]


async def _cases(arguments: Namespace, page_cases: int) -> tuple[list[dict[str, Any]], str | None]:
    """As many cases as requested, and the one after which the next page begins."""
    if arguments.list_id is None and arguments.state not in ("parked", "held"):
        raise CommandError(
            "of all lists only parked and held ones can be asked for: name a LIST, or --state parked or held"
        )
    query = {"list_id": arguments.list_id, "state": arguments.state, "after": arguments.after}
    _check_state(arguments.state)
    given = {name: value for name, value in query.items() if value is not None}
    found: list[dict[str, Any]] = []
    after: str | None = None
    async with connected(arguments, "ops") as remote:
        await _check_list(remote, arguments.list_id)
        async for page in _pages(remote, given, page_cases, arguments.limit):
            found += page["cases"]
            after = page["next"]
    return found, after


def _check_state(state: str | None) -> None:
    if state is not None and state not in _STATES:
        near = difflib.get_close_matches(state, _STATES, n=1)
        hint = f"did you mean {near[0]}? There" if near else "there"
        raise CommandError(f"there is no state {state!r}: {hint} are {', '.join(_STATES)}")


async def _check_list(remote: Remote, list_id: str | None) -> None:
    """Raises CommandError for a list that there is not: no cases of it would look like none that fit."""
    if list_id is not None:
        await remote.get("v1", "lists", list_id)


async def _release_all(arguments: Namespace, page_cases: int) -> int:
    """Releases each case that is parked now once; one that is parked again stays parked. How many."""
    query = {"state": "parked"} | ({"list_id": arguments.list} if arguments.list is not None else {})
    released = 0
    async with connected(arguments, "ops") as remote:
        await _check_list(remote, arguments.list)
        async for page in _pages(remote, query, page_cases):
            if case_ids := [case["case_id"] for case in page["cases"]]:
                response = await remote.post("v1", "cases", "release", body={"case_ids": case_ids})
                released += response["released"]
    return released


async def _pages(
    remote: Remote, query: dict[str, str], page_cases: int, most: int = sys.maxsize
) -> AsyncIterator[dict[str, Any]]:
    """Pages of cases, to the last page or up to so many cases."""
    while most > 0:
        page = await remote.get("v1", "cases", limit=str(min(most, page_cases)), **query)
        yield page
        if page["next"] is None:
            return
        most -= len(page["cases"])
        query = {**query, "after": page["next"]}


def _show_parked(found: list[dict[str, Any]]) -> None:
    rows = []
    for case in found:
        parked = case.get("parked", {})
        rows.append({**case, "since": parked.get("at"), "reason": parked.get("reason")})
    _show_rows("Parked", _PARKED_COLUMNS, rows, empty="Nothing is parked.")


def _show_held(found: list[dict[str, Any]]) -> None:
    rows = []
    for case in found:
        held = case.get("held", {})  # it may have lapsed since the case was found
        rows.append({**case, **held, "since": held.get("at")})
    _show_rows("Held replies", _HELD_COLUMNS, rows, empty="No reply is held.")


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
    if held := shown.get("held"):
        say(f"  a reply is held: {held['verdict']}, by {held['link']}; the number is of {held['operator']}")
    _show_rows("Journal", _JOURNAL_COLUMNS, shown.get("journal", []), empty="Its journal is empty.")


def _show_rows(title: str, columns: Sequence[str], rows: list[dict[str, Any]], *, empty: str) -> None:
    show_table(title, columns, [[row.get(column) for column in columns] for row in rows], empty=empty)
