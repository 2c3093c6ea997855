"""e-Otinish as the wallet reaches it: complaints to the authorised body, with their numbers (order A2 §12)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from gateway.simulators.playground.rejected import RejectedAct, Rejection
from gateway.simulators.playground.vouchers import Vouchers

MAX_SHOWN = 10
"""The latest complaints of one recipient on the page."""


class Complaints:
    """The complaints that recipients have sent from the wallet, in order. Nobody else is told of them."""

    def __init__(self, vouchers: Vouchers, business_now: Callable[[], datetime | None]) -> None:
        self._vouchers = vouchers
        self._business_now = business_now
        self._sent: dict[str, list[dict[str, Any]]] = {}
        self._count = 0

    def send(self, number: str, text: str) -> None:
        """Sends the complaint of the recipient with this number, who has a voucher in the wallet."""
        self._vouchers.check_works()
        if not self._vouchers.has_vouchers(number):
            raise RejectedAct(Rejection.NO_VOUCHER)
        now = self._business_now()
        self._count += 1
        at = now.isoformat(timespec="seconds") if now else None
        self._sent.setdefault(number, []).append({"number": self._count, "at": at, "text": text})

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """What the page shows: the latest complaints by the recipient's number, the last one first."""
        return {number: sent[: -MAX_SHOWN - 1 : -1] for number, sent in self._sent.items()}
