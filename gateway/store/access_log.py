"""The access log: who has searched for, seen or changed cases, and in which order."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.store import locks
from gateway.store.database import Connection
from gateway.store.locks import Lock
from gateway.store.rows import reader


class Action(StrEnum):
    """What a person has done."""

    SEARCH = "search"  # for the cases of an IIN or a number, or for the case of a record
    LIST = "list"  # a page of cases
    VIEW = "view"
    MESSAGES = "messages"  # of a case, in clear
    EVIDENCE = "evidence"
    CANCEL = "cancel"
    RELEASE = "release"
    RESEND = "resend"
    ACCEPT_REPLY = "accept_reply"


class Access(NamedTuple):
    """What is noted of one request."""

    actor: str
    role: str
    action: Action
    list_id: str | None = None
    case_ids: Sequence[str] | None = None
    digest: str | None = None


class StoredAccess(NamedTuple):
    """A row of the log; `at` is business time."""

    seq: int
    at: datetime
    actor: str
    role: str
    action: str
    list_id: str | None
    case_ids: Sequence[str] | None
    digest: str | None


_ADD = """
INSERT INTO access_log (at, actor, role, action, list_id, case_ids, digest) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_AFTER = """
SELECT seq, at, actor, role, action, list_id, case_ids, digest FROM access_log WHERE seq > $1 ORDER BY seq LIMIT $2
"""
_EXPIRE = """
DELETE FROM access_log WHERE seq = ANY(ARRAY(SELECT seq FROM access_log WHERE at < $1 ORDER BY at LIMIT $2))
"""

_read = reader(StoredAccess)


async def add(connection: Connection, at: datetime, access: Access) -> None:
    """Writes one row in a transaction of its own; a reader who has seen a later one has seen all before it."""
    async with connection.transaction():
        await locks.lock_transaction(connection, Lock.ACCESS)
        await connection.execute(_ADD, at, *access)


async def after(connection: Connection, seq: int, limit: int) -> list[StoredAccess]:
    """The first `limit` rows after `seq`, in order."""
    return [_read(row) for row in await connection.fetch(_AFTER, seq, limit)]


async def expire(connection: Connection, before: datetime, limit: int) -> int:
    """The number of rows deleted, at most `limit`: from before that instant of business time."""
    return int((await connection.execute(_EXPIRE, before, limit)).split()[1])
