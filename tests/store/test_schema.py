"""What the migrated schema and the code both have to know: values of columns, and rows that go in as arrays."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, cast, get_args

import pytest

from gateway.api.alerts import Level
from gateway.api.callers import PEOPLE
from gateway.config.routing import Routing
from gateway.consent.case import Case, State
from gateway.consent.inputs import Release
from gateway.consent.reply import Verdict
from gateway.consent.texts import LANGUAGES, Kind
from gateway.consent.transitions import targets
from gateway.smpp.receipt import IdRelation, MessageState
from gateway.smpp.text import LongMessages
from gateway.store import (
    calls,
    case_entries,
    cases,
    dialogues,
    erasure,
    figures,
    id_relations,
    inbound,
    journal_tree,
    outbox,
    questions,
    reasons,
    receipts,
    sms,
    wallet_events,
)
from gateway.store.access_log import Action
from gateway.store.calls import Call, CallKind
from gateway.store.case_entries import CaseForOps, CaseInstant, Changes, ForOps
from gateway.store.cases import StoredCase
from gateway.store.database import Connection, Database
from gateway.store.dialogues import Dialogue
from gateway.store.figures import STAGES
from gateway.store.id_relations import IdVotes
from gateway.store.inbound import ReplySegment, StoredReply
from gateway.store.journal_blocks import JournalIncompleteError, SealedEntry, microseconds
from gateway.store.outbox import NewScreen, NewSms, Priority
from gateway.store.questions import NumberClaim
from gateway.store.queues import QUEUES
from gateway.store.receipts import StoredReceipt
from gateway.store.rewinds import FoundBy
from gateway.store.sms import ExpectedReceipt, Released, SmsProgress, SmsState
from gateway.store.wallet_events import VoucherEvent
from gateway.store.writes import execute
from gateway.usecases.wallet_events import EventType

VALUES: Mapping[tuple[str, str], Iterable[object]] = {
    ("cases", "state"): State,
    ("cases", "resume"): targets(State.PARKED, Release),
    ("cases", "language"): LANGUAGES,
    ("cases", "held"): [Verdict.AGREE, Verdict.REFUSE],
    ("cases_for_ops", "reason"): ForOps,
    ("progress", "state"): State,
    ("calls", "kind"): CallKind,
    ("sms", "state"): SmsState,
    ("sms", "kind"): Kind,
    ("sms", "priority"): Priority,
    ("sms", "long_messages"): [*LongMessages, "ussd"],
    ("receipts_unmatched", "state"): MessageState,
    ("id_relations", "relation"): [relation for relation in get_args(IdRelation) if relation != "auto"],
    ("replies", "verdict"): Verdict,
    ("wallet_events", "type"): EventType,
    ("templates", "language"): LANGUAGES,
    ("rewinds", "found_by"): get_args(FoundBy),
    ("alerts", "level"): Level,
    ("access_log", "action"): Action,
    ("access_log", "role"): PEOPLE,
    ("queue_figures", "queue"): [*QUEUES, "sms", "held"],
    ("reply_figures", "verdict"): Verdict,
    ("stage_figures", "stage"): STAGES,
}
"""The values that the code writes into a column."""

_CHECKS = """
SELECT conrelid::regclass::text AS relation, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE contype = 'c' AND connamespace = 'public'::regnamespace
"""
_ATTRIBUTES = """
SELECT c.relname AS type, a.attname AS attribute, format_type(a.atttypid, a.atttypmod) AS datatype
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid JOIN pg_attribute a ON a.attrelid = c.oid
WHERE t.typtype = 'c' AND c.relkind::text = $1 AND c.relnamespace = 'public'::regnamespace
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        yield connection


async def attributes(connection: Connection, *, kind: str = "c") -> dict[str, dict[str, str]]:
    """Attributes of the composite types, in order, with their data types; of kind "r": columns of the tables."""
    found: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(_ATTRIBUTES, kind):
        found.setdefault(row["type"], {})[row["attribute"]] = row["datatype"]
    return found


# What a column may hold


def _as_stored(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else value)


async def test_values_that_a_check_allows_are_those_of_the_code(connection: Connection) -> None:
    allowed: dict[tuple[str, str], set[str]] = {}
    for row in await connection.fetch(_CHECKS):
        if match := re.fullmatch(r"CHECK \(\((\w+) = ANY \(ARRAY\[(.+)\]\)\)\)", row["definition"]):
            values = (value.partition("::")[0].strip("'") for value in match[2].split(", "))
            allowed[row["relation"], match[1]] = set(values)
    assert allowed == {column: set(map(_as_stored, values)) for column, values in VALUES.items()}


# Rows that go in as an array


class Recorder:
    """Takes the place of a connection: keeps the rows that go into each composite type."""

    def __init__(self, found: Mapping[str, Mapping[str, object]]) -> None:
        """`found` are rows that the queries with these words find."""
        self.sent: dict[str, list[Sequence[object]]] = {}
        self._found = found

    async def fetch(self, query: str, *arguments: Any) -> list[Mapping[str, object]]:
        for number, name in re.findall(r"\$(\d+)::(\w+_row)\[\]", query):
            self.sent.setdefault(name, []).extend(arguments[int(number) - 1])
        return [row for words, row in self._found.items() if words in query]

    async def execute(self, query: str, *arguments: Any) -> None:
        await self.fetch(query, *arguments)


class ByKcell(Routing):
    """Every number is the link's."""

    def link_for(self, msisdn: str, operator: str | None) -> str:
        return "kcell"


AT = datetime(2026, 11, 23, tzinfo=UTC)
ANSWERED, DUE, ENDED, ACTIVATED, USED = (AT + timedelta(days) for days in range(1, 6))
# In each example all values differ, so that two of them in the wrong order are found.
CASE = Case(
    State.PARKED, ("mother",), position=1, msisdn="77010000001", operator="kcell", repeat=2, undelivered=3,
    unreachable=4, clarified=5, reasked=6, due_at=DUE, answered_at=ANSWERED, evidence="sha256:", voucher_id="V-1",
    activated_at=ACTIVATED, used_at=USED, ended_at=ENDED, resume=State.WAITING,
    held=Verdict.REFUSE,
)  # fmt: skip
STORED = StoredCase("case", "list", "record", "3", 1, "kk", "131106697007", None, AT, CASE)
TEXT = NewSms(
    case_id="case", kind=Kind.REPEAT, repeat=2, link="kcell", msisdn="77010000001", template="version",
    body="text", long_messages="sar", segments=3,
)  # fmt: skip
SCREEN = NewScreen(
    case_id="case", kind=Kind.MENU, link="kcell", msisdn="77010000001", template="version", body="text", tlvs=b"1"
)
PROGRESS = SmsProgress(7, SmsState.SENDING, 1, 2, ("a", None), AT)
RELEASED = Released(7, timedelta(1), True, AT)
EXPECTED_RECEIPT = ExpectedReceipt("a", "0A", 7, 1)
REPLY = StoredReply(
    "case", "kcell", "77010000001", "1414", b"3#1", 8, "time", "agree", True, "rules", False, "+77010000001", 1, 4
)
RECEIPT = StoredReceipt("kcell", "0A", ["0A", "a"], True, "delivered", "000", "77010000001", True)
VOTES = IdVotes("kcell", 1, 2, 3)
SEGMENT = ReplySegment("kcell", "77010000001", "1414", 77, 2, 1, b"3#", 6, 8, "time", "+77010000001", 3, 4)
CALL = Call("case", 9, 3)
PLACE = {"link": "kcell", "msisdn": "77010000001"}
DIALOGUE = Dialogue(session=b"1", service="3", case_id="case", menus=1)
NUMBER = NumberClaim("3", "77010000001", "case")
WALLET_EVENT = VoucherEvent("event", "case", "used", AT)
FOUND: Mapping[str, Mapping[str, object]] = {
    "GROUP BY level": {"level": 8, "size": 2},
    "AS known (msisdn)": {"msisdn": "77010000001"},  # of an erased case
    "erased_at IS NULL": {"case_id": "case", "pupil_iin": "131106697007", "msisdn": "77010000001"},
    "c.operator FROM outbox": {"sms_id": 7, "msisdn": "77010000001", "operator": None},  # on a link of nobody
    "FROM freed WHERE waiting": NUMBER._asdict(),
}
ACCEPTED = {
    "sms_id": 7, "case_id": "case", "kind": "request", "repeat": 0, "msisdn": "77010000001", "state": "accepted",
    "delivered_segments": 1, "tracked_segments": 3, "delivery_unknown": False, "ordinal": 0, "segment": 1,
}  # fmt: skip
REASON = reasons.Kept("case", "hmac-sha256:00", "moved away")
JOURNALED = SealedEntry(
    seq=3,
    at_us=microseconds(AT),
    case_id="case",
    event="asked",
    event_id=None,
    detail='{"verdict":"agree","link":"kcell","message_ids":["1","2"]}',
    version=2,
)

ACCEPTED_TEXT: Mapping[str, Mapping[str, object]] = {"receipt_key_row": ACCEPTED, "delivered_segments": ACCEPTED}

ROWS: Mapping[str, Mapping[str, object]] = {
    "case_row": {"case_id": "case", **CASE._asdict()},
    "progress_row": {"list_id": "list", "state": State.ASKED, "cases": 4},
    "number_row": NUMBER._asdict(),
    "text_row": {**asdict(TEXT), "priority": Priority.BULK},
    "screen_row": asdict(SCREEN),
    "text_progress_row": {**PROGRESS._asdict(), "message_ids": '["a",null]'},
    "expected_receipt_row": EXPECTED_RECEIPT._asdict(),
    "receipt_key_row": {**RECEIPT._asdict(), "ordinal": 0, "rank": 1, "key": "a"},
    "unmatched_receipt_row": {**RECEIPT._asdict(), "key": "a"},
    "id_vote_row": VOTES._asdict(),
    "settled_text_row": {"sms_id": 7, "state": "delivered", "delivered_segments": 3, "delivery_unknown": False},
    "reply_row": REPLY._asdict(),
    "redelivered_row": {**REPLY._asdict(), "times": 8},
    "reply_segment_row": SEGMENT._asdict(),
    "segment_key_row": SEGMENT._asdict(),
    "sent_octets_row": REPLY._asdict(),
    "call_row": {"case_id": "case", "kind": CallKind.VOUCHER},
    "finished_call_row": CALL._asdict(),
    "retried_call_row": {**CALL._asdict(), "delay": timedelta(1)},
    "dialogue_row": {**PLACE, **asdict(DIALOGUE)},
    "place_row": PLACE,
    "wallet_event_row": WALLET_EVENT._asdict(),
    "route_row": {"sms_id": 7, "link": "kcell"},
    "erased_case_row": {"case_id": "case", "pupil_iin": b"131106697007".hex(), "msisdn": b"77010000001".hex()},
    "case_instant_row": {"at": AT, "case_id": "case"},
    "case_for_ops_row": {"reason": ForOps.PARKED, "list_id": "list", "case_id": "case"},
    "released_text_row": RELEASED._asdict(),
    "late_text_row": {"sms_id": 7, "segments": 5},
    "erased_number_row": {"msisdn": "77010000001", "hash": b"77010000001".hex()},
    "case_reason_row": REASON._asdict(),
    "tree_place_row": {"level": 8, "position": 1},
    "figure_case_row": {"seq": 3, "case_id": "case", "event": "asked"},
    "figure_reply_row": {"at": AT, "case_id": "case", "verdict": "agree"},
    "figure_segments_row": {"minute": AT, "link": "kcell", "segments": 2},
}
"""What the examples hold, by the names of fields: at least those that are attributes of the composite type."""


async def rows_sent() -> dict[str, Sequence[object]]:
    """The last row that the store functions send into each composite type, for the examples above."""
    recorder, accepted = Recorder(FOUND), Recorder(ACCEPTED_TEXT)
    c = cast("Connection", recorder)
    await execute(c, cases.saving([STORED], {"case": CASE}, {("list", State.ASKED): 4}))
    await case_entries.drop_deadlines(c, [CaseInstant(AT, "case")])
    await execute(c, case_entries.writes(Changes(need_ops={CaseForOps(ForOps.PARKED, "list", "case")})))
    await questions.acquire_numbers(c, [NUMBER])
    await questions.release_numbers(c, [NUMBER], [])
    await execute(c, [outbox.queueing([TEXT], AT)])
    await outbox.queue_screens(c, [SCREEN], AT, 90.0)
    await sms.record(c, "node", [PROGRESS])
    await sms.release(c, "node", [RELEASED])
    await outbox.accept_late(c, {7: 5})
    await sms.expect_receipts(c, "kcell", [EXPECTED_RECEIPT], timedelta())
    await outbox.reroute(c, ["kcell"], ByKcell(()))
    await receipts.settle(c, [RECEIPT])
    await receipts.remove_unmatched(c, [RECEIPT])
    await id_relations.count(c, [VOTES])
    await receipts.settle(cast("Connection", accepted), [RECEIPT])
    await execute(c, [inbound.keeping([REPLY], AT)])
    await inbound.count_redelivered(c, {(REPLY.link, REPLY.source_addr, REPLY.destination_addr, REPLY.octets): 8})
    await inbound.displace(c, [SEGMENT])
    await inbound.keep_segments(c, [SEGMENT], AT)
    await inbound.complete(c, [SEGMENT[:5]])
    await inbound.similar(c, [(REPLY.source_addr, REPLY.octets)], AT)
    await execute(c, [calls.adding([("case", CallKind.VOUCHER)])])
    await calls.finish(c, "node", CallKind.LOOKUP, [CALL])
    await calls.postpone(c, "node", CallKind.LOOKUP, [(CALL, timedelta(1))])
    await dialogues.lock(c, [("kcell", "77010000001")])
    await dialogues.save(c, {("kcell", "77010000001"): DIALOGUE}, lifetime_seconds=90.0)
    await dialogues.save(c, {("kcell", "77010000001"): None}, lifetime_seconds=90.0)
    await wallet_events.keep(c, [WALLET_EVENT])
    await erasure.erase_ended(c, AT, AT, bytes.hex, 1)
    await execute(c, [reasons.keeping([REASON])])
    await figures.add(c, [JOURNALED._replace(event=event) for event in ("asked", "reply_read", "text_accepted")])
    with suppress(JournalIncompleteError):
        await journal_tree.paths(c, [1], 512)
    return {name: rows[-1] for name, rows in (recorder.sent | accepted.sent).items()}


async def test_rows_sent_to_sql_have_the_attributes_of_their_composite_type_in_order(
    connection: Connection,
) -> None:
    types = await attributes(connection)
    sent = await rows_sent()
    assert sent.keys() == types.keys() == ROWS.keys()
    for name, row in sent.items():
        assert dict(zip(types[name], row, strict=True)) == {each: ROWS[name][each] for each in types[name]}, name


async def test_every_field_of_an_example_row_has_a_different_value(connection: Connection) -> None:
    for name, names in (await attributes(connection)).items():
        values = [repr(ROWS[name][each]) for each in names]
        assert len(set(values)) == len(values), name


TABLES = {
    "case_row": "cases", "progress_row": "progress", "number_row": "questions", "text_row": "sms",
    "screen_row": "sms", "text_progress_row": "sms", "expected_receipt_row": "receipts_expected",
    "unmatched_receipt_row": "receipts_unmatched", "settled_text_row": "sms", "reply_row": "replies",
    "reply_segment_row": "reply_segments", "segment_key_row": "reply_segments", "sent_octets_row": "replies",
    "id_vote_row": "id_relations",
    "call_row": "calls", "finished_call_row": "calls", "dialogue_row": "dialogues", "place_row": "dialogues",
    "wallet_event_row": "wallet_events", "route_row": "sms", "erased_case_row": "cases",
    "case_instant_row": "deadlines", "case_for_ops_row": "cases_for_ops",
    "case_reason_row": "case_reasons", "tree_place_row": "journal_tree",
}  # fmt: skip
"""The tables of which the attributes of a type are columns."""


async def test_attributes_of_composite_types_have_the_data_types_of_their_columns(connection: Connection) -> None:
    types, columns = await attributes(connection), await attributes(connection, kind="r")
    for name, table in TABLES.items():
        assert types[name] == {each: columns[table][each] for each in types[name]}, name


# A field of a case


def missing(fields: Iterable[str], columns: Iterable[str]) -> set[str]:
    """Fields of a case of which these columns have none; `relations` are read off the record."""
    return set(fields) - {"relations"} - set(columns)


async def test_every_field_of_a_case_has_a_column_and_an_attribute(connection: Connection) -> None:
    types, tables = await attributes(connection), await attributes(connection, kind="r")
    assert missing(Case._fields, tables["cases"]) == missing(Case._fields, types["case_row"]) == set()


async def test_a_field_of_a_case_without_a_migration_is_found(connection: Connection) -> None:
    types, tables = await attributes(connection), await attributes(connection, kind="r")
    fields = (*Case._fields, "stopped_at")
    assert missing(fields, tables["cases"]) == missing(fields, types["case_row"]) == {"stopped_at"}
