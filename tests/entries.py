"""The entries by which cases and texts are found, for tests that change the rows by hand."""

import asyncpg

from gateway.store.database import Connection

_FIND_AGAIN = """
DELETE FROM deadlines; DELETE FROM ended_cases; DELETE FROM waiting_cases; DELETE FROM cases_for_ops;
DELETE FROM outbox; DELETE FROM sending;
INSERT INTO deadlines SELECT due_at, case_id FROM cases WHERE due_at IS NOT NULL;
INSERT INTO ended_cases SELECT ended_at, case_id FROM cases WHERE ended_at IS NOT NULL AND erased_at IS NULL;
INSERT INTO waiting_cases
SELECT service, msisdn, case_id FROM cases WHERE state = 'waiting' AND msisdn IS NOT NULL;
INSERT INTO cases_for_ops SELECT 'parked', list_id, case_id FROM cases WHERE state = 'parked';
INSERT INTO cases_for_ops SELECT 'held', list_id, case_id FROM cases WHERE held IS NOT NULL;
INSERT INTO outbox SELECT link, priority, sms_id, next_at, expires_at FROM sms WHERE state = 'queued';
INSERT INTO sending SELECT node, sms_id FROM sms WHERE state = 'sending';
"""


async def find_again(connection: "asyncpg.Connection | Connection") -> None:
    """Writes the entries of all cases and texts anew."""
    await connection.execute(_FIND_AGAIN)


async def change_rows(connection: "asyncpg.Connection | Connection", statements: str) -> None:
    """Changes cases and texts behind the gateway's back; the entries by which they are found follow."""
    async with connection.transaction():
        await connection.execute(statements)
        await find_again(connection)
