"""The log of unexpected PDUs: the first at once, then sums, so that a flood of them costs a line per period."""

import asyncio
from typing import Final

from gateway import metrics
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.smpp.session import UnexpectedPdu, UnmatchedNack

log = get_logger()

SUM_SECONDS: Final = 10.0
"""The time over which unexpected PDUs are summed after a line."""


class UnexpectedPdus:
    """The unexpected PDUs of one link, over all its binds."""

    def __init__(self, link: str, peer: str, sum_seconds: float = SUM_SECONDS) -> None:
        self._link = link
        self._peer = peer
        self._sum_seconds = sum_seconds
        self._metric = metrics.UNEXPECTED_PDUS.labels(link)
        self._count = 0  # since the last line
        self._last: UnexpectedPdu | UnmatchedNack | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, event: UnexpectedPdu | UnmatchedNack) -> None:
        """Counts the PDU; logs it, or has it logged with those that follow."""
        self._metric.inc()
        self._count += 1
        self._last = event
        if self._timer is None:
            self._log()

    def _log(self) -> None:
        """Logs the PDUs since the last line; without any, the next one is logged at once."""
        self._timer = None
        if self._count:
            log.warning(
                LogEvent.LINK_UNEXPECTED_PDU,
                link=self._link,
                peer=self._peer,
                what=repr(self._last),
                count=self._count,
            )
            self._count = 0
            self._timer = asyncio.get_running_loop().call_later(self._sum_seconds, self._log)
