"""What the page shows, in sections that are sent when they have changed."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from gateway.simulators.commands import Simulator
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.observable import Observable
from gateway.simulators.playground.canteen import Canteen
from gateway.simulators.playground.codes import CODE_SECONDS
from gateway.simulators.playground.complaints import Complaints
from gateway.simulators.playground.report import DailyReport
from gateway.simulators.playground.telephones import BusinessTime, Telephones
from gateway.simulators.playground.vouchers import Vouchers
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

SEND_SECONDS = 15.0
MAX_STATUSES = 100

Push = Callable[[str], Awaitable[None]]
"""Pushes a record of a new family whose texts are in this language."""


class SimulatedEnvironment(Observable):
    """The simulators of one gateway as a visitor sees them.

    `business_time` gives the business instant of a monotonic one. `gateway_url` and `wallet_token` are what the
    wallet reports with. Without `push` the page has no button for another family.
    """

    def __init__(
        self,
        *,
        smscs: Mapping[str, SmscSimulator],
        mcb: McbSimulator,
        wallet: WalletSimulator,
        sdu: SduSimulator,
        business_time: BusinessTime,
        business_now: Callable[[], datetime | None],
        day_seconds: float,
        wallet_token: str,
        push: Push | None = None,
        send_seconds: float = SEND_SECONDS,
        code_seconds: float = CODE_SECONDS,
    ) -> None:
        super().__init__()
        self.gateway_url = ""
        """Set once the gateway listens."""
        self.push = push
        self.switches: dict[str, Simulator] = {
            **smscs, "mcb": mcb, "wallet": wallet, "sdu": sdu,
        }  # fmt: skip
        self.telephones = Telephones(smscs, business_time, send_seconds)
        self.vouchers = Vouchers(
            wallet,
            gateway_url=lambda: self.gateway_url,
            token=wallet_token,
            business_now=business_now,
            code_seconds=code_seconds,
        )
        self.canteen = Canteen(self.vouchers, business_now)
        self.complaints = Complaints(self.vouchers, business_now)
        self.version = 0
        """Counts changes."""
        self._sdu, self._report = sdu, DailyReport(wallet.accepted, sdu.events)
        self._business_now, self.day_seconds = business_now, day_seconds
        for name, smsc in smscs.items():
            smsc.on_event = self._listener(name)
        for partner in (mcb, wallet, sdu):
            partner.on_event = lambda *_: self.changed()

    def changed(self) -> None:
        """Something that the page shows may have changed."""
        self.version += 1
        super().changed()

    def clock(self) -> dict[str, Any]:
        """Business time now, None while no status has told it, and the real seconds of a day."""
        now = self._business_now()
        return {"now": now.isoformat(timespec="seconds") if now else None, "day_seconds": self.day_seconds}

    def sections(self) -> Iterator[tuple[str, Any]]:
        """(name, content) of every section."""
        yield "switches", {name: not simulator.is_down for name, simulator in self.switches.items()}
        telephones, vouchers = self.telephones.shown, self.vouchers.shown
        for number in telephones:
            yield f"telephone/{number}", self.telephones.state(number)
        yield "telephones", telephones
        for voucher in vouchers:
            yield f"voucher/{voucher.voucher_id}", self.vouchers.state(voucher)
        yield "vouchers", [voucher.voucher_id for voucher in vouchers]
        yield "complaints", self.complaints.state()
        yield "canteen", self.canteen.state()
        yield "statuses", self._statuses()
        yield "report", self._report.rows()
        yield "push", self.push is not None

    def _statuses(self) -> list[dict[str, Any]]:
        keys = ("at", "status", "list_id", "record_id", "detail")
        return [{key: event[key] for key in keys} for event in self._sdu.events[: -MAX_STATUSES - 1 : -1]]

    def _listener(self, operator: str) -> Callable[[str, dict[str, Any]], None]:
        """Keeps the telephones that have messages or dialogues in the order of the latest."""

        def listen(event: str, detail: dict[str, Any]) -> None:
            if event == "message":
                self.telephones.received(detail["to"], operator)
            self.changed()

        return listen
