"""The access log: a row for whatever a person sees of cases, before they see it."""

from datetime import timedelta

from gateway.clock import Clock
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.evidence.digests import Digester
from gateway.store import access_log
from gateway.store.access_log import Access, StoredAccess
from gateway.store.database import Database

_EXPIRED_AT_ONCE = 5_000


class AccessNotNotedError(Exception):
    """The row could not be written: nothing may be shown."""


class AccessLog:
    """The use cases of the access log. Without a fence: what a person sees is noted while nothing is sent, too."""

    def __init__(self, *, database: Database, node: str, clock: Clock, digests: Digester, keep: timedelta) -> None:
        self._database = database
        self._node = node
        self._clock = clock
        self._digests = digests
        self._keep = keep

    def digest(self, kind: str, searched: str) -> str:
        """What stands in the log in place of an IIN or a number: the same for the same one, no other's."""
        return self._digests.digest(f"access:{kind}:{searched}".encode())

    async def note(self, access: Access) -> None:
        """Writes the row; raises AccessNotNotedError."""
        try:
            async with self._database.acquire() as connection:
                await access_log.add(connection, self._clock.now(), access)
        except TRANSIENT_ERRORS as error:
            raise AccessNotNotedError(type(error).__name__) from error

    async def after(self, seq: int, limit: int) -> list[StoredAccess]:
        """The first `limit` rows after `seq`, in order."""
        async with self._database.acquire() as connection:
            return await access_log.after(connection, seq, limit)

    async def expire(self) -> None:
        """Deletes the rows that are older than `privacy.keep_days`."""
        before, expired = self._clock.now() - self._keep, _EXPIRED_AT_ONCE
        while expired == _EXPIRED_AT_ONCE:
            async with fenced_transaction(self._database, self._node) as connection:
                expired = await access_log.expire(connection, before, _EXPIRED_AT_ONCE)
