"""What came of each case beside what its script wants, and what must hold for all of them together."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.demo.cast import Child
from gateway.demo.roles import Text
from gateway.demo.stage import LIST_ID, Stage

NO_CASE = ("rejected", "duplicate")
ANSWERS = (Text.AGREED, Text.REFUSED)
_QUESTION = ("number_found", "asked", "reminded")
_ANSWER = ("consented", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A record's case as the gateway shows it, and where it differs from the script."""

    child: Child
    state: str
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold for the whole run."""

    name: str
    holds: bool
    detail: str = ""


def is_told(child: Child, stage: Stage) -> bool:
    """Everything that the script wants to be seen of this case has been seen."""
    statuses = stage.sdu.statuses(child.record_id)
    told = tuple(status for status in statuses if status != "delivered")
    return (
        told == child.script.statuses
        and tuple(child.seen) == child.script.texts
        and statuses.count("delivered") == child.seen.count(Text.REQUEST)
    )


async def endings(http: aiohttp.ClientSession, stage: Stage, answer: dict[str, Any]) -> list[Ending]:
    """How every record of the list ended; `answer` is the gateway's to the list."""
    rejected = {error["record_id"] for error in answer["errors"]}
    found = []
    for child in stage.cast.children:
        query = {"list_id": LIST_ID, "record_id": child.record_id}
        async with http.get("/v1/cases", params=query) as response:
            response.raise_for_status()
            cases = (await response.json())["cases"]
        state = cases[0]["state"] if cases else "rejected" if child.record_id in rejected else "duplicate"
        found.append(Ending(child=child, state=state, differences=tuple(_differences(child, state, stage))))
    return found


def _differences(child: Child, state: str, stage: Stage) -> list[str]:
    script, events = child.script, stage.sdu.of(child.record_id)
    statuses = [event["status"] for event in events]
    told = [status for status in statuses if status != "delivered"]
    wrong = []
    if state != script.state:
        wrong.append(f"is {state}, must be {script.state}")
    if tuple(told) != script.statuses:
        wrong.append(f"SDU was told {_row(told)}; must be {_row(script.statuses)}")
    if tuple(child.seen) != script.texts:
        wrong.append(f"the parent saw texts {_row(child.seen)}; must be {_row(script.texts)}")
    if statuses.count("delivered") != child.seen.count(Text.REQUEST):
        wrong.append(
            f"{statuses.count('delivered')} times delivered, {child.seen.count(Text.REQUEST)} on the handset"
        )
    if "delivered" in statuses and "asked" in statuses and statuses.index("delivered") < statuses.index("asked"):
        wrong.append("delivered before it was asked")
    for event in events:
        detail = event["detail"]
        if event["status"] in _QUESTION and detail["relation"] != child.family.role.asked:
            wrong.append(
                f"{event['status']} of the {detail['relation']}, must be of the {child.family.role.asked}"
            )
        if event["status"] in _ANSWER and detail["normalised"] != script.normalised:
            wrong.append(f"the reply was{'' if detail['normalised'] else ' not'} marked normalised")
        if event["status"] == "no_number" and detail["checked"] != list(child.family.role.knows):
            wrong.append(f"no_number after {detail['checked']}")
    return wrong


def counts_agree(progress: Mapping[str, int], ended: Sequence[Ending]) -> Check:
    """The list's counts are those of its cases."""
    states = Counter(ending.state for ending in ended if ending.state not in NO_CASE)
    shown = {state: count for state, count in progress.items() if count}
    return Check("the list's counts are those of its cases", shown == states, f"{states.total()} cases")


def checks(stage: Stage, journal: tuple[int, str], exit_status: int, errors: list[dict[str, Any]]) -> list[Check]:
    """What must hold for all together."""
    sdu, wallet, children = stage.sdu, stage.wallet, list(stage.cast.children)
    consents = [event["case_id"] for event in sdu.events if event["status"] == "consented"]
    answers = consents + [event["case_id"] for event in sdu.events if event["status"] == "refused"]
    keys = Counter(wallet.keys)
    answered = sum(child.seen.count(text) for child in children for text in ANSWERS)
    once = all(
        sum(child.seen.count(text) for text in ANSWERS) == any(text in child.script.texts for text in ANSWERS)
        for child in children
    )
    failures = stage.failures()
    twice = sum(message.repeated for network in stage.networks.values() for message in network.messages)
    return [
        Check(
            "every status pushed to SDU is signed and comes in its case's order",
            not sdu.complaints,
            f"{len(sdu.events):,} statuses, {sdu.repeated} of them more than once",
        ),
        Check(
            "every answer gets text 2 or 3, exactly once",
            once and answered == len(answers),
            f"{len(answers)} answers, {answered} texts",
        ),
        Check(
            "every consent reaches the wallet under one Idempotency-Key",
            len(consents) == len(set(consents)) and set(keys) == set(consents),
            f"{len(consents)} consents, {len(keys)} keys, {keys.total()} calls",
        ),
        Check("the journal's hash chain holds", journal[0] == 0, _chain(journal[1])),
        Check(
            "operators and partners saw the contracts kept, and no segment twice",
            not failures and not twice,
            "; ".join((f"{stage.segments:,} segments, {twice} of them twice", *failures[:5])),
        ),
        Check(
            "the gateway logged no error and stopped on SIGTERM",
            exit_status == 0 and not errors,
            f"exit status {exit_status}" + "".join(f"; {line.get('event')}" for line in errors[:5]),
        ),
    ]


def _chain(output: str) -> str:
    """What `verify-journal` has said, for people."""
    try:
        return f"{json.loads(output)['entries']:,} entries"
    except (ValueError, KeyError):
        return output


def _row(names: Any) -> str:
    return " ".join(names) or "nothing"
