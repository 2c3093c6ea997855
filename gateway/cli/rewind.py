"""``gateway accept-rewind``: ops go on with a database that lacks what was there."""

import asyncio
from argparse import Namespace
from typing import Any

from gateway.cli.remote import connected
from gateway.cli.terminal import say, show_json


def accept_rewind(arguments: Namespace) -> int:
    """Shows what the database lacks and who may know it; accepts that, unless it is a dry run."""
    report = asyncio.run(_rewind(arguments))
    if arguments.json:
        show_json(report)
        return 0
    for line in _lines(report):
        say(line)
    if arguments.dry_run:
        say("Nothing was accepted: run it without --dry-run, or put the right server back.")
    else:
        say("Accepted and journaled: the processes start again within a heartbeat.")
    return 0


async def _rewind(arguments: Namespace) -> Any:
    async with connected(arguments, "ops") as remote:
        return await (remote.get("v1", "rewind") if arguments.dry_run else remote.post("v1", "rewind", "accept"))


def _lines(report: Any) -> list[str]:
    sdu = report["sdu"]
    known_by = "SDU, by its cursor" if report["found_by"] == "sdu" else "a process of the gateway"
    ended = report["ended_at"] or "an unknown time"
    lines = [
        f"The journal of this database ended at entry {report['seq']:,}; "
        f"{report['known_seq']:,} is known by {known_by}.",
        f"Whatever happened after {ended} is lost here: lists, replies, consents. Parents keep their texts.",
        f"SDU may have statuses from seq {sdu['first']:,} to {sdu['last']:,} that the database lacks. It "
        "cannot be asked for them: have its people list what they have with these seqs, by case_id and event_id. "
        "New statuses use the seqs again, under other event_ids.",
        "The wallet cannot be asked either: have its people list the vouchers formed since then, by case_id. "
        f"{report['wallet']['vouchers']:,} vouchers are requested now; of a case_id that it knows it returns "
        "the one it has.",
        f"{report['texts']:,} texts wait to be sent; one that had left after that time leaves once more.",
        "Lists that SDU pushed since then are to be pushed again: gateway lists shows those that are here.",
    ]
    if report["seq"] >= report["known_seq"]:
        lines.insert(
            1, "It has other entries by now: from which on is not known; verify-journal --anchor may tell."
        )
    if not sdu["pushed"]:
        lines.append(f"SDU's reader gets 409 until it reads again from after={sdu['read_from']}.")
    return lines
