"""The sentences of which alerts are made, in English. The console has the same in each of its languages."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from gateway.store.replication import SHORTFALLS

Fields = Mapping[str, str | float]
"""What is filled in, by name."""


class Said(NamedTuple):
    """Sentences of an alert, and what is filled in."""

    sentences: Sequence[str]  # keys of SENTENCES
    fields: Fields


NOTHING = Said((), {})

_OLDEST = "the oldest for {oldest_seconds}. Ask those who run it."

SENTENCES: Mapping[str, str] = {
    "link_down": "{link}: no session bound for {for_seconds}.",
    "link_without_process": "{link}: no living process holds the link. Start one.",
    "credentials_refused": "{link}: the SMSC refuses our system_id or password: settle it with the operator.",
    "bind_refused": "{link}: the SMSC refuses the bind: a denied host, one session too many or a stale bind.",
    "sessions_missing": "{link}: {bound} of {sessions} sessions bound for {for_seconds}.",
    "link_stopped": (
        "{link}: the SMSC has refused whatever is sent with {status} for {for_seconds}: settle it with the "
        "operator. A segment is tried at intervals."
    ),
    "nothing_accepted": (
        "{link}: bound, nothing accepted for {for_seconds}: the SMSC throttles, is busy or does not respond. "
        "Ask the operator."
    ),
    "responses_late": "{link}: responses come late: set response_timeout to {needed} or more.",
    "next_attempt": "Last attempt: {failure}; the next one in {next_seconds} or by gateway bind-now {link}.",
    "attempt_under_way": "Last attempt: {failure}; another one is under way.",
    "text_waiting": "{texts} text is waiting.",
    "texts_waiting": "{texts} texts are waiting.",
    "database_away": (
        "The database does not respond ({error}): look at PostgreSQL, its disk and the network to it."
    ),
    "pool_exhausted": (
        "No connection to the database is free ({error}): look for what blocks its statements, and at its load."
    ),
    "shown_of": "What is shown is of {read_at}.",
    "disk_full": (
        "The disk of the database has too little free space: lists are rejected. Free some, or enlarge it."
    ),
    "database_rewound": (
        "The database lacks entries of the journal: it ended at {seq}, {known_seq} is known. Nothing is "
        "sent. Put the right server back, or accept the loss: gateway accept-rewind."
    ),
    **{
        f"commits_local_{why}": f"What is acknowledged is on one server only: {text}."
        for why, text in SHORTFALLS.items()
    },
    "journal_broken": "The journal's chain is broken: gateway verify-journal names the entry.",
    "journal_late": (
        "{waiting} journal entries wait for their place in the chain, the oldest for {oldest_seconds}."
    ),
    "paused_credentials": (
        "{partner} does not accept our token (401, 403): settle {section}.token with those who run it. Its "
        "calls wait."
    ),
    "paused_address": (
        "{partner} is not at {section}.url (404, 405, a redirect): correct it, or ask those who run it. Its "
        "calls wait."
    ),
    "paused_too_large": (
        "{partner} does not accept even one record (413): ask those who run it to raise their limit. Its "
        "calls wait."
    ),
    "paused_invalid": (
        "{partner} responds as no contract says: ask those who run it, and release parked cases afterwards. "
        "Its calls wait."
    ),
    "calls_failing": "{partner} is failing: calls have been tried {times} times or more, " + _OLDEST,
    "partner_silent": "{partner} has not responded for {silent_seconds}: {waiting} calls wait, " + _OLDEST,
    "sdu_silent": "{partner} has not responded for {silent_seconds}: {waiting} statuses wait, " + _OLDEST,
    "sdu_failing": "{partner} is failing: {pushes} pushes in a row. {waiting} statuses wait, " + _OLDEST,
    "statuses_late": "{waiting} statuses wait for SDU, " + _OLDEST,
    "vouchers_late": (
        "{waiting} consents wait for their voucher, the oldest for {oldest_seconds}. Ask those who run the wallet."
    ),
    "case_parked": "{cases} case is parked: somebody has to decide.",
    "cases_parked": "{cases} cases are parked: somebody has to decide.",
    "replies_held": (
        "{link}: replies of numbers that the MCB assigns to {operator} are held: the base may lag. Replies: "
        "{replies}, {recent} of the last day; numbers: {numbers}. Somebody has to decide."
    ),
    "clock_ahead": (
        "This host's clock is {by_seconds} ahead of the database's: check the time service of both hosts."
    ),
    "clock_behind": (
        "This host's clock is {by_seconds} behind the database's: check the time service of both hosts."
    ),
    "clock_set_ahead": (
        "The database's clock was set ahead by {by_seconds}: business time follows in ten minutes, and what is "
        "due by then becomes due. If that clock is wrong, set it right before."
    ),
    "clock_set_back": (
        "The database's clock was set back by {by_seconds}: in ten minutes business time stops until it has "
        "caught up. If that clock is wrong, set it right before."
    ),
    "business_time_stopped": (
        "The database's clock was set back: business time is stopped for {for_seconds}. Nothing becomes due "
        "until then; replies and texts go on."
    ),
}
"""By key. A field that ends in `_seconds` is a length of time, in `_at` an instant; `partner` one of PARTNERS."""

PARTNERS = {"lookup": "The MCB", "voucher": "The wallet", "sdu": "SDU"}


def in_english(sentences: Sequence[str], fields: Fields) -> str:
    """The text of an alert."""
    shown = {name: _shown(name, value) for name, value in fields.items()}
    return " ".join(SENTENCES[key].format_map(shown) for key in sentences)


def said_in(text: str, sentences: Sequence[str], fields: str) -> Said:
    """What the text of a noted alert was made of; `fields` are JSON. NOTHING where that is not known.

    Rows of earlier versions have no sentences, those of a later one may have others. A process of an earlier
    version replaces the text of a row alone: then the sentences are of another text.
    """
    try:
        said = Said(sentences, orjson.loads(fields))
        return said if in_english(*said) == text else NOTHING
    except (KeyError, TypeError, ValueError):
        return NOTHING


def _shown(name: str, value: str | float) -> str:
    if name == "partner":
        return PARTNERS[str(value)]
    if isinstance(value, str):
        return value
    return span(value) if name.endswith("_seconds") else f"{value:,}"


def span(seconds: float) -> str:
    """A length of time in one number and its unit."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
