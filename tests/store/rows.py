"""Rows for the tests of this folder, put in by hand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.consent.texts import Kind
from gateway.store.database import Connection
from gateway.store.outbox import NewSms
from tests.entries import find_again

MONDAY = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)  # later than every clock: the database's own counts
AN_HOUR = timedelta(hours=1)
NODE = "01M80000000000000000000NODE"


async def add_node(connection: Connection, node: str = NODE) -> str:
    await connection.execute("INSERT INTO nodes (node, name) VALUES ($1, $1)", node)
    return node


async def add_case(connection: Connection, case_id: str, **columns: Any) -> None:
    """A case of the list `list`; `columns` override."""
    person = {"iin": "870312497005", "surname": "Ахметова", "given_name": "Айгүл"}
    record = {"pupil": person, "recipients": [{"relation": "mother", **person}]}
    values = {
        "case_id": case_id,
        "list_id": "list",
        "record_id": f"record-{case_id}",
        "service": "3",
        "category": 1,
        "language": "kk",
        "pupil_iin": "131106697007",
        "record": json.dumps(record),
        "state": "looking_up",
        "opened_at": MONDAY,
        **columns,
    }
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await connection.execute(f"INSERT INTO cases ({', '.join(values)}) VALUES ({places})", *values.values())
    await find_again(connection)


def new_sms(case_id: str, msisdn: str, kind: Kind = Kind.REQUEST) -> NewSms:
    return NewSms(
        case_id=case_id,
        kind=kind,
        repeat=0,
        link="kcell",
        msisdn=msisdn,
        template="edb17e5a826b",
        body="Құрметті Ахметова Айгүл!",
        long_messages="udh8",
        segments=1,
    )
