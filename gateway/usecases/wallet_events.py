"""Events of the wallet: vouchers were activated and used, each event counts once."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.inputs import ActivateVoucher, Input, UseVoucher
from gateway.store import cases, wallet_events
from gateway.store.wallet_events import VoucherEvent
from gateway.usecases.unit_of_work import Transactions, UnitOfWork


class EventType(StrEnum):
    """What the wallet reports of a voucher."""

    ACTIVATED = "activated"
    USED = "used"


class Rejection(StrEnum):
    """Why an event was not accepted; it may come again."""

    UNKNOWN_CASE = "unknown"
    NO_VOUCHER = "no_voucher"


class RejectedEvent(NamedTuple):
    """An event by its place in the request."""

    place: int
    rejection: Rejection


class WalletEvents:
    """The use case of a request of the wallet."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def accept(self, events: Mapping[int, VoucherEvent]) -> list[RejectedEvent]:
        """Accepts events, by their places in the request; those that were rejected.

        An event_id that was accepted before is accepted again and changes nothing.
        """
        return await self._transactions.run(lambda uow: _accept(uow, events))


async def _accept(uow: UnitOfWork, events: Mapping[int, VoucherEvent]) -> list[RejectedEvent]:
    seen = await wallet_events.known(uow.connection, {event.event_id for event in events.values()})
    known_cases = await cases.fetch(uow.connection, {event.case_id for event in events.values()})
    rejected: list[RejectedEvent] = []
    first: dict[str, int] = {}
    for place, event in events.items():
        if event.event_id in seen:
            continue
        if event.case_id not in known_cases:
            rejected.append(RejectedEvent(place, Rejection.UNKNOWN_CASE))
        else:
            first.setdefault(event.event_id, place)
    fresh = await wallet_events.keep(uow.connection, [events[place] for place in first.values()])
    new = {place: events[place] for event_id, place in first.items() if event_id in fresh}
    decisions = await uow.apply([(event.case_id, _input(event)) for event in new.values()])
    without = [place for place, decision in zip(new, decisions, strict=True) if decision.rejected]
    await wallet_events.forget(uow.connection, _ids(new, without))
    return rejected + [RejectedEvent(place, Rejection.NO_VOUCHER) for place in without]


def _ids(events: Mapping[int, VoucherEvent], places: Sequence[int]) -> list[str]:
    return [events[place].event_id for place in places]


def _input(event: VoucherEvent) -> Input:
    return ActivateVoucher(at=event.at) if event.type == EventType.ACTIVATED else UseVoucher(at=event.at)
