"""The wallet as its user sees it: vouchers, their activation, dynamic codes and history (order A2 §4–11)."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

import aiohttp
import segno

from gateway.simulators.playground.refused import RefusedAct
from gateway.simulators.wallet import Voucher, WalletSimulator

CODE_SECONDS = 30.0
MAX_CODES = 1000
"""The number of codes that are remembered, so that an old one is called expired and not unknown."""
MAX_SHOWN = 200
"""The number of latest vouchers on the page."""
_QUIET_ZONE_MODULES = 4


class Verdict(StrEnum):
    """What the wallet says of a code that the canteen has read."""

    SERVED = "served"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"


@dataclass(slots=True, eq=False)
class Code:
    """A dynamic code of a voucher; `until` is monotonic seconds."""

    text: str
    voucher: Voucher
    until: float
    used: bool = False


class Vouchers:
    """The vouchers of this wallet. `business_now` dates the events, `now` is monotonic seconds."""

    def __init__(
        self,
        wallet: WalletSimulator,
        *,
        gateway_url: Callable[[], str],
        token: str,
        business_now: Callable[[], datetime | None],
        now: Callable[[], float] = time.monotonic,
        code_seconds: float = CODE_SECONDS,
    ) -> None:
        self._wallet = wallet
        self._gateway_url, self._token = gateway_url, token
        self._business_now, self._now = business_now, now
        self._code_seconds = code_seconds
        self._codes: dict[str, Code] = {}

    @property
    def shown(self) -> list[Voucher]:
        """The latest vouchers, the last one first."""
        return list(self._wallet.vouchers.values())[: -MAX_SHOWN - 1 : -1]

    @property
    def activated(self) -> list[Voucher]:
        """Those whose pupil the canteen system knows (A2 §6)."""
        cases = dict.fromkeys(event["case_id"] for event in self._wallet.accepted if event["type"] == "activated")
        return [self._wallet.vouchers[case_id] for case_id in cases if case_id in self._wallet.vouchers]

    def state(self, voucher: Voucher) -> dict[str, Any]:
        """What the page shows of one voucher; `history` is the oldest first (A2 §11)."""
        history = [{"type": event["type"], "at": event["at"]} for event in self._events(voucher)]
        body = voucher.body
        return {
            "voucher_id": voucher.voucher_id,
            "pupil": full_name(body["pupil"]),
            "recipient": full_name(body["recipient"]),
            "number": body["recipient"]["msisdn"],
            "school_year": body["school_year"],
            "category": body["category"],
            "history": [{"type": "formed", "at": body["consent"]["at"]}, *history],
        }

    async def activate(self, voucher_id: str) -> None:
        """Activates a voucher: the gateway is told, and the canteen system knows the pupil from then on."""
        voucher = self._find(voucher_id)
        if self._is_activated(voucher):
            raise RefusedAct("The voucher is active already.")
        await self._report(voucher, "activated")

    def new_code(self, voucher_id: str) -> dict[str, Any]:
        """A new code and its QR code, as the `d` of an SVG path in a square of `modules`."""
        voucher = self._find(voucher_id)
        if not self._is_activated(voucher):
            raise RefusedAct("The voucher has to be activated first.")
        text = f"{voucher.voucher_id}-{secrets.randbelow(10**6):06d}"
        self._codes[text] = Code(text, voucher, self._now() + self._code_seconds)
        for old in list(self._codes)[:-MAX_CODES]:
            del self._codes[old]
        qr = segno.make(text, error="m", micro=False)
        return {
            "code": text,
            "seconds": self._code_seconds,
            "path": _path(qr),
            "modules": qr.symbol_size(border=_QUIET_ZONE_MODULES)[0],
        }

    async def redeem(self, text: str) -> tuple[Verdict, Voucher | None]:
        """What becomes of a code that the canteen has read, and whose voucher it is; a meal is reported."""
        self._check_wallet()
        code = self._codes.get(text)
        if code is None:
            return Verdict.UNKNOWN, None
        if code.used:
            return Verdict.USED, code.voucher
        if self._now() > code.until:
            return Verdict.EXPIRED, code.voucher
        code.used = True  # before the report: a second reading meanwhile is refused
        try:
            await self._report(code.voucher, "used")
        except RefusedAct:
            code.used = False
            raise
        return Verdict.SERVED, code.voucher

    def _find(self, voucher_id: str) -> Voucher:
        self._check_wallet()
        found = next((one for one in self._wallet.vouchers.values() if one.voucher_id == voucher_id), None)
        if found is None:
            raise RefusedAct("There is no such voucher.")
        return found

    def _check_wallet(self) -> None:
        if self._wallet.is_down:
            raise RefusedAct("The wallet is broken.")

    def _events(self, voucher: Voucher) -> list[dict[str, Any]]:
        return [event for event in self._wallet.accepted if event["case_id"] == voucher.key]

    def _is_activated(self, voucher: Voucher) -> bool:
        return any(event["type"] == "activated" for event in self._events(voucher))

    async def _report(self, voucher: Voucher, type_: str) -> None:
        """Posts the event to the gateway; RefusedAct when it does not accept it."""
        now = self._business_now()
        at = now.isoformat(timespec="milliseconds") if now else None
        event = self._wallet.event(voucher.key, type_, at=at)
        try:
            status, body = await self._wallet.post_events(self._gateway_url(), self._token, [event])
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise RefusedAct("The gateway does not respond to the wallet; try again.") from None
        if status != 200 or body["taken"] != 1:
            raise RefusedAct(f"The gateway did not accept the wallet's event (status {status}); try again.")


def full_name(person: dict[str, Any]) -> str:
    """Surname, given name and patronymic, if any."""
    return " ".join(filter(None, (person.get(key) for key in ("surname", "given_name", "patronymic"))))


def _path(qr: segno.QRCode) -> str:
    """The dark modules as the `d` of an SVG path: a rectangle for each run of them in a row."""
    runs = []
    for y, row in enumerate(qr.matrix, start=_QUIET_ZONE_MODULES):
        x = _QUIET_ZONE_MODULES
        for dark, modules in groupby(row):
            width = len(list(modules))
            runs.append(f"M{x} {y}h{width}v1h-{width}z" if dark else "")
            x += width
    return "".join(runs)
