"""A row in every state meets every function of the store, in a real database, and ends as the tables have it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module

import pytest

from gateway.config.routing import Routing
from gateway.consent.texts import Kind
from gateway.store import calls, dialogues, erasure, lists, nodes, outbox, receipts, sms
from gateway.store.calls import Call, CallKind
from gateway.store.database import Connection, Database
from gateway.store.lifecycles import (
    CALL_CHANGES,
    NO_ROW,
    TEXT_CHANGES,
    CallInput,
    CallState,
    TextInput,
    call_rows,
    text_rows,
)
from gateway.store.lists import InitialCase, NewList
from gateway.store.outbox import NewScreen
from gateway.store.receipts import StoredReceipt
from gateway.store.sms import SmsProgress, SmsState
from gateway.store.writes import execute
from tests.entries import find_again
from tests.store.rows import AN_HOUR, FOREVER, MONDAY, NODE, add_case, add_node, new_sms

OTHER = "01M80000000000000000000NOD2"
CASE, NUMBER = "case", "77010000001"
AT_ONCE = timedelta()

TEXT_STATES: tuple[SmsState | None, ...] = (None, *SmsState)
CALL_STATES: tuple[CallState | None, ...] = (None, *CallState)
Act = Callable[[Connection, int], Awaitable[object]]
"""Calls the function; the number is the sms_id, or the serial, of the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Brings an input about; `columns` are the circumstances, as SQL, by their names.

    `states` are those in which a text can have these circumstances.
    """

    act: Act
    columns: Mapping[str, str] = field(default_factory=dict)
    states: tuple[SmsState | None, ...] = TEXT_STATES


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Connection]:
    """A transaction that is rolled back, in a database with two processes."""
    async with database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await add_node(connection)
        await add_node(connection, OTHER)
        yield connection
        await transaction.rollback()


# Texts


class ByBeeline(Routing):
    """Every number is the link's."""

    def link_for(self, msisdn: str, operator: str | None) -> str:
        return "beeline"


def claim(node: str = NODE, link: str = "kcell", *, others: tuple[str, ...] = (), bulk: bool = True) -> Act:
    return lambda c, _: sms.claim(c, node, link, others=others, bulk=bulk, limit=9)


def record(state: SmsState, node: str = NODE) -> Act:
    accepted_at = MONDAY if state is SmsState.ACCEPTED else None
    return lambda c, sms_id: sms.record(c, node, [SmsProgress(sms_id, state, 1, 1, ("a", None), accepted_at)])


def receipt(segment: str, *, delivered: bool = True) -> Act:
    state = "delivered" if delivered else "expired"
    return lambda c, _: receipts.settle(c, [StoredReceipt("kcell", segment, [segment], delivered, state, "000")])


def eviction(node: str) -> Act:
    async def act(connection: Connection, _: int) -> None:
        expired = [other for other in await nodes.others(connection, "survivor") if other.node == node]
        evicted, _unknown = await nodes.evict_expired(
            connection, expired, loss_detection_seconds=60.0, pause_after_copy=timedelta(hours=1)
        )
        assert evicted == [node]

    return act


async def withdraw(connection: Connection, _: int) -> None:
    await execute(connection, [outbox.withdrawing([CASE])])


def _released(sms_id: int) -> sms.Released:
    return sms.Released(sms_id, AT_ONCE, False, None)


SCREEN = NewScreen(
    case_id=CASE, kind=Kind.MENU, link="kcell", msisdn=NUMBER, template="version", body="text", tlvs=b"1"
)
A_SCREEN = {"kind": "'menu'", "priority": "0", "tlvs": "'1'", "long_messages": "'ussd'"}
FRESH = {**A_SCREEN, "expires_at": "'infinity'"}
EXPIRED = {**A_SCREEN, "expires_at": "'-infinity'"}
AFTER_UNKNOWN = {"delivery_unknown": "true"}

TEXT_DRIVERS: Mapping[TextInput, Driver] = {
    TextInput.QUEUE: Driver(act=lambda c, _: execute(c, [outbox.queueing([new_sms(CASE, NUMBER)], MONDAY)])),
    TextInput.QUEUE_IMMEDIATE: Driver(
        act=lambda c, _: execute(c, [outbox.queueing([new_sms(CASE, NUMBER)], MONDAY, immediate=1, node=NODE)])
    ),
    TextInput.QUEUE_SCREEN: Driver(act=lambda c, _: outbox.queue_screens(c, [SCREEN], MONDAY, 90.0)),
    TextInput.CLAIM: Driver(act=claim()),
    TextInput.CLAIM_BY_FALLBACK: Driver(act=claim(link="beeline", others=("kcell",))),
    TextInput.CLAIM_TOO_EARLY: Driver(act=claim(), columns={"next_at": "'infinity'"}),
    TextInput.CLAIM_OUTSIDE_WINDOW: Driver(act=claim(bulk=False)),
    TextInput.CLAIM_SCREEN_BY_FALLBACK: Driver(act=claim(link="beeline", others=("kcell",)), columns=FRESH),
    TextInput.CLAIM_EXPIRED_SCREEN: Driver(act=claim(), columns=EXPIRED),
    TextInput.CLAIM_BY_EVICTED: Driver(act=claim("evicted")),
    TextInput.RECORD_SENDING: Driver(act=record(SmsState.SENDING)),
    TextInput.RECORD_ACCEPTED: Driver(act=record(SmsState.ACCEPTED)),
    TextInput.RECORD_REFUSED: Driver(act=record(SmsState.REFUSED)),
    TextInput.RECORD_CANCELLED: Driver(act=record(SmsState.CANCELLED), columns=EXPIRED),
    TextInput.RECORD_BY_OTHER: Driver(act=record(SmsState.ACCEPTED, OTHER)),
    TextInput.RELEASE: Driver(act=lambda c, sms_id: sms.release(c, NODE, [_released(sms_id)])),
    TextInput.RELEASE_BY_OTHER: Driver(act=lambda c, sms_id: sms.release(c, OTHER, [_released(sms_id)])),
    TextInput.RELEASE_OTHERS: Driver(act=lambda c, _: sms.release_others(c, NODE, "kcell", [])),
    TextInput.RELEASE_OTHERS_HELD: Driver(act=lambda c, sms_id: sms.release_others(c, NODE, "kcell", [sms_id])),
    TextInput.REROUTE: Driver(act=lambda c, _: outbox.reroute(c, ["beeline"], ByBeeline(()))),
    TextInput.WITHDRAW: Driver(act=withdraw),
    TextInput.WITHDRAW_PARTLY_ACCEPTED: Driver(act=withdraw, columns={"accepted_segments": "1"}),
    TextInput.WITHDRAW_OTHER_KIND: Driver(act=withdraw, columns={"kind": "'agreed'"}),
    TextInput.RECEIPT_LAST: Driver(act=receipt("1"), columns={"delivered_segments": "1"}),
    TextInput.RECEIPT_NOT_LAST: Driver(act=receipt("1")),
    TextInput.RECEIPT_FAILED: Driver(act=receipt("1", delivered=False)),
    TextInput.RECEIPT_AFTER_UNKNOWN: Driver(
        act=receipt("1"), columns={**AFTER_UNKNOWN, "delivered_segments": "1"}, states=(SmsState.UNDELIVERABLE,)
    ),
    TextInput.FAILED_AFTER_UNKNOWN: Driver(
        act=receipt("1", delivered=False), columns=AFTER_UNKNOWN, states=(SmsState.UNDELIVERABLE,)
    ),
    TextInput.EXPIRE_SCREEN: Driver(act=lambda c, _: dialogues.expire(c, FOREVER), columns=EXPIRED),
    TextInput.EXPIRE_FRESH_SCREEN: Driver(act=lambda c, _: dialogues.expire(c, FOREVER), columns=FRESH),
    TextInput.EXPIRE_OTHER: Driver(act=lambda c, _: dialogues.expire(c, FOREVER)),
    TextInput.ERASE: Driver(
        act=lambda c, _: erasure.erase_ended(c, MONDAY + AN_HOUR, MONDAY + AN_HOUR, bytes.hex, 9)
    ),
    TextInput.LEAVE: Driver(act=lambda c, _: nodes.leave(c, NODE, pause_after_copy=AN_HOUR)),
    TextInput.EVICT: Driver(act=eviction(NODE)),
    TextInput.EVICT_OTHER: Driver(act=eviction(OTHER)),
}


async def add_text(connection: Connection, state: SmsState, changes: Mapping[str, str]) -> int:
    """A request of two segments, both tracked, on the link kcell; its sms_id. `changes` are SQL."""
    columns = {
        "case_id": f"'{CASE}'", "kind": "'request'", "repeat": "0", "link": "'kcell'", "msisdn": f"'{NUMBER}'",
        "priority": "1", "template": "'version'", "body": "'text'", "long_messages": "'udh8'", "reference": "1",
        "segments": "2", "tracked_segments": "3", "created_at": "now()", "state": f"'{state}'",
        "node": f"'{NODE}'" if state is SmsState.SENDING else "NULL", **changes,
    }  # fmt: skip
    sms_id: int = await connection.fetchval(
        f"INSERT INTO sms ({', '.join(columns)}) VALUES ({', '.join(columns.values())}) RETURNING sms_id"
    )
    await find_again(connection)
    expected = [sms.ExpectedReceipt(str(segment), str(segment), sms_id, segment) for segment in range(2)]
    await sms.expect_receipts(connection, "kcell", expected, AN_HOUR)
    return sms_id


async def text_after(database: Database, state: SmsState | None, given: TextInput) -> SmsState | None:
    """The state of a text that was in a state, after the input."""
    driver = TEXT_DRIVERS[given]
    async with undone(database) as connection:
        await add_case(connection, CASE, state="refused", msisdn=NUMBER, ended_at=MONDAY)
        sms_id = 0 if state is None else await add_text(connection, state, driver.columns)
        await driver.act(connection, sms_id)
        found = await connection.fetchval("SELECT state FROM sms WHERE case_id = $1 ORDER BY sms_id LIMIT 1", CASE)
    return None if found is None else SmsState(found)


@pytest.mark.parametrize("given", TextInput)
async def test_every_input_changes_a_text_in_every_state_as_the_table_of_texts_says(
    database: Database, given: TextInput
) -> None:
    states = TEXT_DRIVERS[given].states
    expected: dict[SmsState | None, SmsState | None] = {state: state for state in states}
    expected |= {state: row.to for row in TEXT_CHANGES if row.given is given for state in row.states}
    assert {state: await text_after(database, state, given) for state in states} == expected


async def test_after_a_receipt_of_state_unknown_only_the_next_outcome_counts(
    database: Database,
) -> None:
    async with undone(database) as connection:
        await add_case(connection, CASE, state="refused", msisdn=NUMBER, ended_at=MONDAY)
        changes = {**AFTER_UNKNOWN, "delivered_segments": "1"}
        sms_id = await add_text(connection, SmsState.UNDELIVERABLE, changes)
        await receipt("1", delivered=False)(connection, sms_id)
        await receipt("1")(connection, sms_id)
        assert await connection.fetchval("SELECT state FROM sms WHERE sms_id = $1", sms_id) == "undeliverable"


# Calls

NEW_LIST = NewList(
    list_id="list", service="3", digest=b"digest", records=1, rejected=0, received_at=MONDAY,
    school_year_start=MONDAY,
)  # fmt: skip
BIRTH = InitialCase("looking_up", (), (CallKind.LOOKUP,))


async def accept_list(connection: Connection, serial: int) -> None:
    """Of a case that has a call the list was accepted before: it comes again."""
    if serial:
        await connection.execute(
            "INSERT INTO lists VALUES ('list', '3', 'digest', 1, 1, 0, 0, $1)", NEW_LIST.received_at
        )
    async with lists.staging(connection):
        row = lists.staged_row(1, CASE, "record", 1, "kk", "131106697007", b"{}")
        await lists.stage(connection, [row], [])
        _, accepted = await lists.accept(connection, NODE, NEW_LIST, BIRTH)
    assert accepted is (serial == 0)


async def let_next_at_come(connection: Connection, _: int) -> None:
    await connection.execute("UPDATE calls SET next_at = clock_timestamp() WHERE next_at > clock_timestamp()")


def finish(node: str = NODE, *, earlier: bool = False) -> Act:
    return lambda c, serial: calls.finish(c, node, CallKind.LOOKUP, [Call(CASE, serial - earlier, 0)])


def postpone(node: str = NODE, *, earlier: bool = False) -> Act:
    return lambda c, serial: calls.postpone(c, node, CallKind.LOOKUP, [(Call(CASE, serial - earlier, 0), AN_HOUR)])


CALL_DRIVERS: Mapping[CallInput, Act] = {
    CallInput.ACCEPT_LIST: accept_list,
    CallInput.ADD: lambda c, _: execute(c, [calls.adding([(CASE, CallKind.LOOKUP)])]),
    CallInput.CLAIM: lambda c, _: calls.claim(c, NODE, CallKind.LOOKUP, 9),
    CallInput.CLAIM_BY_EVICTED: lambda c, _: calls.claim(c, "evicted", CallKind.LOOKUP, 9),
    CallInput.FINISH: finish(),
    CallInput.FINISH_BY_OTHER: finish(OTHER),
    CallInput.FINISH_EARLIER: finish(earlier=True),
    CallInput.POSTPONE: postpone(),
    CallInput.POSTPONE_BY_OTHER: postpone(OTHER),
    CallInput.POSTPONE_EARLIER: postpone(earlier=True),
    CallInput.RELEASE_OTHERS: lambda c, _: calls.release_others(c, NODE, CallKind.LOOKUP, []),
    CallInput.RELEASE_OTHERS_HELD: lambda c, serial: calls.release_others(c, NODE, CallKind.LOOKUP, [serial]),
    CallInput.DROP: lambda c, _: execute(c, [calls.dropping([CASE])]),
    CallInput.NEXT_AT: let_next_at_come,
    CallInput.LEAVE: lambda c, _: nodes.leave(c, NODE, pause_after_copy=AN_HOUR),
    CallInput.EVICT: eviction(NODE),
    CallInput.EVICT_OTHER: eviction(OTHER),
}
_STATE_OF_CALL = """
SELECT CASE WHEN node IS NOT NULL THEN 'claimed' WHEN next_at > clock_timestamp() THEN 'postponed' ELSE 'due' END
FROM calls WHERE case_id = $1
"""
_ADD_CALL = """
INSERT INTO calls (case_id, kind, node, next_at)
VALUES ($1, 'lookup', $2, clock_timestamp() + $3::interval) RETURNING serial
"""


async def call_after(database: Database, state: CallState | None, given: CallInput) -> CallState | None:
    """The state of a call that was in a state, after the input."""
    async with undone(database) as connection:
        serial = 0
        if state is not None:
            node, delay = (NODE if state is CallState.CLAIMED else None), state is CallState.POSTPONED
            serial = await connection.fetchval(_ADD_CALL, CASE, node, AN_HOUR if delay else AT_ONCE)
        await CALL_DRIVERS[given](connection, serial)
        found = await connection.fetchval(_STATE_OF_CALL, CASE)
    return None if found is None else CallState(found)


@pytest.mark.parametrize("given", CallInput)
async def test_every_input_changes_a_call_in_every_state_as_the_table_of_calls_says(
    database: Database, given: CallInput
) -> None:
    expected: dict[CallState | None, CallState | None] = {state: state for state in CALL_STATES}
    expected |= {state: row.to for row in CALL_CHANGES if row.given is given for state in row.states}
    assert {state: await call_after(database, state, given) for state in CALL_STATES} == expected


# The tables


def test_the_tables_of_texts_and_calls_have_one_row_for_each_state_and_input() -> None:
    for rows in (list(text_rows()), list(call_rows())):
        assert len({(state, given, source) for state, given, _, _, source in rows}) == len(rows)


@pytest.mark.parametrize("given", [each for each in (*TextInput, *CallInput) if each is not CallInput.NEXT_AT])
def test_every_input_of_a_text_or_call_names_a_function_of_the_store(given: TextInput | CallInput) -> None:
    module, _, function = given.partition(",")[0].partition(".")
    assert callable(getattr(import_module(f"gateway.store.{module}"), function))


def test_the_drawn_tables_show_where_a_text_or_call_has_no_row() -> None:
    assert next(text_rows())[:3] == (NO_ROW, "queueing", "queued")
    assert ("claimed", "finish", NO_ROW) in [row[:3] for row in call_rows()]
