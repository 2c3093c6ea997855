"""The wallet as its user sees it: vouchers, their activation, use, history and ratings (order A2 §4–13)."""

import time
from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import aiohttp

from gateway.simulators.playground.codes import CODE_SECONDS, Codes, qr_code
from gateway.simulators.playground.rejected import RejectedAct, Rejection
from gateway.simulators.wallet import Voucher, WalletSimulator

MAX_SHOWN = 200
"""The number of latest vouchers on the page."""
MAX_MARKS = 5


class Verdict(StrEnum):
    """What the wallet says of a code or a card that the canteen has read."""

    SERVED = "served"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"
    NOT_ACTIVE = "not_active"
    ENDED = "ended"


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
        self._business_now = business_now
        self._codes = Codes(now, code_seconds)
        self._marks: dict[str, int] = {}
        """The ratings, by the event of the meal."""

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
        body = voucher.body
        return {
            "voucher_id": voucher.voucher_id,
            "pupil": full_name(body["pupil"]),
            "recipient": full_name(body["recipient"]),
            "number": body["recipient"]["msisdn"],
            "school_year": body["school_year"],
            "category": body["category"],
            "history": [{"type": "formed", "at": body["consent"]["at"]}, *map(self._entry, self._events(voucher))],
        }

    async def activate(self, voucher_id: str) -> None:
        """Activates a voucher: the gateway is told, and the canteen system knows the pupil from then on."""
        voucher = self._find(voucher_id)
        if self._is_activated(voucher):
            raise RejectedAct(Rejection.ALREADY_ACTIVE)
        await self._report(voucher, "activated")

    def new_code(self, voucher_id: str) -> dict[str, Any]:
        """A new code, its seconds and its QR code."""
        voucher = self._find(voucher_id)
        if not self._is_activated(voucher):
            raise RejectedAct(Rejection.NOT_ACTIVE)
        code = self._codes.new(voucher)
        return {"code": code.text, "seconds": self._codes.seconds, **qr_code(code.text)}

    async def use_code(self, text: str) -> tuple[Verdict, Voucher | None]:
        """What becomes of a code that the canteen has read, and whose it is; a meal is reported (A2 §10)."""
        self.check_works()
        code = self._codes.find(text)
        if code is None:
            return Verdict.UNKNOWN, None
        if code.used:
            return Verdict.USED, code.voucher
        if self._codes.has_expired(code):
            return Verdict.EXPIRED, code.voucher
        code.used = True  # before the report: a second reading meanwhile is rejected
        try:
            verdict = await self._use(code.voucher)
        except RejectedAct:
            code.used = False
            raise
        code.used = verdict is Verdict.SERVED
        return verdict, code.voucher

    async def use_card(self, voucher_id: str) -> tuple[Verdict, Voucher]:
        """The same of the card of this voucher's pupil (A2 §7)."""
        voucher = self._find(voucher_id)
        return await self._use(voucher), voucher

    def rate(self, meal: str, marks: int) -> None:
        """The recipient's rating of a meal, once (A2 §12); `meal` is the event of its use."""
        self.check_works()
        if not any(event["event_id"] == meal and event["type"] == "used" for event in self._wallet.accepted):
            raise RejectedAct(Rejection.NO_MEAL)
        if meal in self._marks:
            raise RejectedAct(Rejection.ALREADY_RATED)
        self._marks[meal] = marks

    def has_vouchers(self, number: str) -> bool:
        """Whether a recipient with this number has one."""
        return any(voucher.body["recipient"]["msisdn"] == number for voucher in self._wallet.vouchers.values())

    def check_works(self) -> None:
        """RejectedAct when the wallet is broken."""
        if self._wallet.is_down:
            raise RejectedAct(Rejection.WALLET_BROKEN)

    async def _use(self, voucher: Voucher) -> Verdict:
        now = self._business_now()
        if not self._is_activated(voucher):
            return Verdict.NOT_ACTIVE
        if now and now.date() >= _end(voucher):
            return Verdict.ENDED
        await self._report(voucher, "used")
        return Verdict.SERVED

    def _find(self, voucher_id: str) -> Voucher:
        self.check_works()
        found = next((one for one in self._wallet.vouchers.values() if one.voucher_id == voucher_id), None)
        if found is None:
            raise RejectedAct(Rejection.NO_VOUCHER)
        return found

    def _events(self, voucher: Voucher) -> list[dict[str, Any]]:
        return [event for event in self._wallet.accepted if event["case_id"] == voucher.key]

    def _entry(self, event: dict[str, Any]) -> dict[str, Any]:
        shown = {"type": event["type"], "at": event["at"]}
        if event["type"] == "used":
            shown |= {"meal": event["event_id"], "marks": self._marks.get(event["event_id"])}
        return shown

    def _is_activated(self, voucher: Voucher) -> bool:
        return any(event["type"] == "activated" for event in self._events(voucher))

    async def _report(self, voucher: Voucher, type_: str) -> None:
        """Posts the event to the gateway; RejectedAct when it does not accept it."""
        now = self._business_now()
        at = now.isoformat(timespec="milliseconds") if now else None
        event = self._wallet.event(voucher.key, type_, at=at)
        try:
            status, body = await self._wallet.post_events(self._gateway_url(), self._token, [event])
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise RejectedAct(Rejection.GATEWAY_SILENT) from None
        if status != 200 or body["taken"] != 1:
            raise RejectedAct(Rejection.EVENT_REJECTED, status=str(status))


def full_name(person: dict[str, Any]) -> str:
    """Surname, given name and patronymic, if any."""
    return " ".join(filter(None, (person.get(key) for key in ("surname", "given_name", "patronymic"))))


def _end(voucher: Voucher) -> date:
    """The first day on which the voucher is no longer valid: that of the next school year (A2 §13)."""
    return date(int(voucher.body["school_year"].split("/")[1]), 9, 1)
