"""USSD dialogues under way: the case whose question a handset shows. All times are real time."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from gateway.store.database import Connection

DialogueKey = tuple[str, str]
"""link, msisdn: a handset has one dialogue at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A menu shown on a handset."""

    session: bytes  # its_session_info without the octet that counts messages (SMPP 3.4 §5.3.2.43)
    service: str
    case_id: str
    menus: int  # how often the menu was shown


_LOCK = """
SELECT link, msisdn, session, service, case_id, menus FROM dialogues
WHERE (link, msisdn) IN (SELECT link, msisdn FROM unnest($1::place_row[]))
  AND expires_at > least(clock_timestamp(), $2::timestamptz)
ORDER BY link, msisdn FOR UPDATE
"""

_KEEP = """
INSERT INTO dialogues (link, msisdn, session, service, case_id, menus, expires_at)
SELECT link, msisdn, session, service, case_id, menus, clock_timestamp() + make_interval(secs => $2)
FROM unnest($1::dialogue_row[]) ORDER BY link, msisdn
ON CONFLICT (link, msisdn) DO UPDATE SET session = excluded.session, service = excluded.service,
    case_id = excluded.case_id, menus = excluded.menus, expires_at = excluded.expires_at
"""

_END = "DELETE FROM dialogues WHERE (link, msisdn) IN (SELECT link, msisdn FROM unnest($1::place_row[]))"

_EXPIRE = """
WITH ended AS (DELETE FROM dialogues WHERE expires_at <= least(clock_timestamp(), $1) RETURNING 1),
     late AS (DELETE FROM outbox
              WHERE priority = 0 AND expires_at <= least(clock_timestamp(), $1) RETURNING sms_id),
     gone AS (UPDATE sms SET state = 'cancelled' FROM late WHERE sms.sms_id = late.sms_id RETURNING 1)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM gone)
"""


async def lock(
    connection: Connection, keys: Collection[DialogueKey], waits_end_at: datetime | None = None
) -> dict[DialogueKey, Dialogue]:
    """The dialogues under way at these keys, their rows locked until the transaction ends.

    `waits_end_at` is that of Clock: a step of the database's clock that nobody has seen yet ends no dialogue.
    """
    rows = await connection.fetch(_LOCK, list(keys), waits_end_at)
    return {
        (row["link"], row["msisdn"]): Dialogue(
            session=row["session"], service=row["service"], case_id=row["case_id"], menus=row["menus"]
        )
        for row in rows
    }


async def save(
    connection: Connection, dialogues: dict[DialogueKey, Dialogue | None], *, lifetime_seconds: float
) -> None:
    """Stores dialogues for `lifetime_seconds` from now on; None deletes one."""
    kept = [(link, msisdn, d) for (link, msisdn), d in dialogues.items() if d is not None]
    ended = [key for key, dialogue in dialogues.items() if dialogue is None]
    if kept:
        await connection.execute(
            _KEEP,
            [(link, msisdn, d.session, d.service, d.case_id, d.menus) for link, msisdn, d in kept],
            lifetime_seconds,
        )
    if ended:
        await connection.execute(_END, ended)


async def expire(connection: Connection, steady: datetime) -> int:
    """The number of expired dialogues deleted and of expired screens cancelled.

    `steady` is real time without steps (`Clock.timestamp`).
    """
    expired: int = await connection.fetchval(_EXPIRE, steady)
    return expired
