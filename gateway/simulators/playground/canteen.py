"""The school canteen: it knows the pupils with active vouchers, and reads codes and cards (order A2 §6–10)."""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from gateway.simulators.playground.vouchers import Verdict, Vouchers, full_name
from gateway.simulators.wallet import Voucher

MAX_READINGS = 20
MAX_CODE_CHARACTERS = 40
MAX_PUPILS = 50


class Canteen:
    """One canteen for all schools of the simulation."""

    def __init__(self, vouchers: Vouchers, business_now: Callable[[], datetime | None]) -> None:
        self._vouchers = vouchers
        self._business_now = business_now
        self._readings: deque[dict[str, Any]] = deque(maxlen=MAX_READINGS)

    async def read_code(self, code: str) -> dict[str, Any]:
        """Reads a code; the verdict, and the pupil who gets a meal or does not."""
        return self._note("code", *await self._vouchers.use_code(code.strip().upper()))

    async def read_card(self, voucher_id: str) -> dict[str, Any]:
        """The same with the identification card of this voucher's pupil."""
        return self._note("card", *await self._vouchers.use_card(voucher_id))

    def state(self) -> dict[str, Any]:
        """What the page shows: the pupils it knows, and the latest readings, the last one first."""
        pupils = [full_name(voucher.body["pupil"]) for voucher in self._vouchers.activated]
        return {"known": len(pupils), "pupils": pupils[: -MAX_PUPILS - 1 : -1], "readings": list(self._readings)}

    def _note(self, means: str, verdict: Verdict, voucher: Voucher | None) -> dict[str, Any]:
        now = self._business_now()
        reading = {
            "verdict": verdict.value,
            "means": means,
            "pupil": full_name(voucher.body["pupil"]) if voucher else None,
            "at": now.isoformat(timespec="seconds") if now else None,
        }
        self._readings.appendleft(reading)
        return {**reading, "served": verdict is Verdict.SERVED}
