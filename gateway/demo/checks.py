"""The outcome of each case compared with its scenario, and the checks on the run as a whole."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.demo.families import Child
from gateway.demo.model import Text
from gateway.demo.partners import LIST_ID, SimulatedPartners

NO_CASE = ("rejected", "duplicate")
REPLY_TEXTS = (Text.AGREED, Text.REFUSED)
_QUESTION_STATUSES = ("number_found", "asked", "reminded")
_REPLY_STATUSES = ("consented", "refused")
MAX_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A record's case at the end, and where it differs from its scenario."""

    child: Child
    state: str
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on the run as a whole."""

    name: str
    holds: bool
    detail: str = ""


def is_complete(child: Child, partners: SimulatedPartners) -> bool:
    """Whether everything that the scenario requires of this case has been seen."""
    statuses = partners.sdu.statuses(child.record_id)
    without_delivered = tuple(status for status in statuses if status != "delivered")
    return (
        without_delivered == child.scenario.statuses
        and tuple(child.seen) == child.scenario.texts
        and statuses.count("delivered") == child.seen.count(Text.REQUEST)
    )


async def outcomes(
    http: aiohttp.ClientSession, partners: SimulatedPartners, response: dict[str, Any]
) -> list[Outcome]:
    """The outcome of every record; `response` is the gateway's to the list."""
    rejected = {error["record_id"] for error in response["errors"]}
    found = []
    for child in partners.families.children:
        query = {"list_id": LIST_ID, "record_id": child.record_id}
        async with http.get("/v1/cases", params=query) as listed:
            listed.raise_for_status()
            cases = (await listed.json())["cases"]
        state = cases[0]["state"] if cases else "rejected" if child.record_id in rejected else "duplicate"
        found.append(Outcome(child=child, state=state, differences=tuple(_differences(child, state, partners))))
    return found


def _differences(child: Child, state: str, partners: SimulatedPartners) -> list[str]:
    scenario, events = child.scenario, partners.sdu.of(child.record_id)
    statuses = [event["status"] for event in events]
    without_delivered = [status for status in statuses if status != "delivered"]
    found = []
    if state != scenario.state:
        found.append(f"is {state}, must be {scenario.state}")
    if tuple(without_delivered) != scenario.statuses:
        found.append(f"SDU got {_listed(without_delivered)}; must be {_listed(scenario.statuses)}")
    if tuple(child.seen) != scenario.texts:
        found.append(f"the parent got the texts {_listed(child.seen)}; must be {_listed(scenario.texts)}")
    if statuses.count("delivered") != child.seen.count(Text.REQUEST):
        found.append(
            f"{statuses.count('delivered')} times delivered, {child.seen.count(Text.REQUEST)} on the handset"
        )
    if "delivered" in statuses and "asked" in statuses and statuses.index("delivered") < statuses.index("asked"):
        found.append("delivered before asked")
    for event in events:
        found += _event_differences(child, event)
    return found


def _event_differences(child: Child, event: dict[str, Any]) -> list[str]:
    """Where the details of one status differ from the scenario."""
    status, detail, kind = event["status"], event["detail"], child.family.kind
    found = []
    if status in _QUESTION_STATUSES and detail["relation"] != kind.asked:
        found.append(f"{status} is about the {detail['relation']}, must be about the {kind.asked}")
    if status in _REPLY_STATUSES and detail["normalised"] != child.scenario.normalised:
        found.append(f"the reply is{'' if detail['normalised'] else ' not'} marked normalised")
    if status == "no_number" and detail["checked"] != list(kind.numbers):
        found.append(f"no_number after {detail['checked']}")
    return found


def counts_agree(progress: Mapping[str, int], ended: Sequence[Outcome]) -> Check:
    """The list's counts are those of its cases."""
    states = Counter(outcome.state for outcome in ended if outcome.state not in NO_CASE)
    shown = {state: count for state, count in progress.items() if count}
    return Check("the list's counts are those of its cases", shown == states, f"{states.total()} cases")


def checks(
    partners: SimulatedPartners, journal: tuple[int, str], exit_status: int, errors: list[dict[str, Any]]
) -> list[Check]:
    """The checks on the run as a whole, but for the list's counts.

    `journal` is the exit status and the output of verify-journal; `errors` are the gateway's log lines.
    """
    sdu, failures = partners.sdu, partners.failures()
    repeated = sum(message.repeated for smsc in partners.smscs.values() for message in smsc.messages)
    return [
        Check(
            "every status pushed to SDU is signed and in its case's order",
            not sdu.complaints,
            f"{len(sdu.events):,} statuses, {sdu.repeated} of them more than once",
        ),
        _replies_check(partners),
        _consents_check(partners),
        Check("the journal's hash chain holds", journal[0] == 0, _journal_detail(journal[1])),
        Check(
            "operators and partners saw no contract violation, and no segment twice",
            not failures and not repeated,
            "; ".join((f"{partners.segments:,} segments, {repeated} of them twice", *failures[:MAX_SHOWN])),
        ),
        Check(
            "the gateway logged no error and stopped on SIGTERM",
            exit_status == 0 and not errors,
            f"exit status {exit_status}" + "".join(f"; {line.get('event')}" for line in errors[:MAX_SHOWN]),
        ),
    ]


def _replies_check(partners: SimulatedPartners) -> Check:
    children = list(partners.families.children)
    replies = sum(event["status"] in _REPLY_STATUSES for event in partners.sdu.events)
    texts = sum(child.seen.count(text) for child in children for text in REPLY_TEXTS)
    once = all(
        sum(child.seen.count(text) for text in REPLY_TEXTS)
        == any(text in child.scenario.texts for text in REPLY_TEXTS)
        for child in children
    )
    return Check(
        "every clear reply gets text 2 or 3, exactly once",
        once and texts == replies,
        f"{replies} replies, {texts} texts",
    )


def _consents_check(partners: SimulatedPartners) -> Check:
    consents = [event["case_id"] for event in partners.sdu.events if event["status"] == "consented"]
    keys = Counter(partners.wallet.keys)
    return Check(
        "every consent reaches the wallet under one Idempotency-Key",
        len(consents) == len(set(consents)) and set(keys) == set(consents),
        f"{len(consents)} consents, {len(keys)} keys, {keys.total()} calls",
    )


def _journal_detail(output: str) -> str:
    """The number of entries from the output of verify-journal, or the output as it is."""
    try:
        return f"{json.loads(output)['entries']:,} entries"
    except (ValueError, KeyError):
        return output


def _listed(names: Sequence[str]) -> str:
    return " ".join(names) or "nothing"
