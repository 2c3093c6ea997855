"""Events of the wallet: a voucher was activated or used. Each event counts once."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.inputs import ActivateVoucher, Input, UseVoucher
from gateway.store import cases, wallet_events
from gateway.store.wallet_events import VoucherEvent
from gateway.usecases.unit_of_work import Transactions, UnitOfWork


class EventType(StrEnum):
    """What the wallet reports about a voucher."""

    ACTIVATED = "activated"
    USED = "used"


class Rejection(StrEnum):
    """Why an event was rejected; the wallet may send it again."""

    UNKNOWN_CASE = "unknown"
    NO_VOUCHER = "no_voucher"


class RejectedEvent(NamedTuple):
    """A rejected event, by its position in the request (from 0)."""

    position: int
    rejection: Rejection


class WalletEvents:
    """The use case of a request from the wallet."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def accept(self, events: Mapping[int, VoucherEvent]) -> list[RejectedEvent]:
        """The rejected ones of these events, by their positions in the request; the others are accepted.

        An event_id that was accepted before is accepted again and changes nothing.
        """
        return await self._transactions.run(lambda uow: _accept(uow, events))


async def _accept(uow: UnitOfWork, events: Mapping[int, VoucherEvent]) -> list[RejectedEvent]:
    seen = await wallet_events.known(uow.connection, {event.event_id for event in events.values()})
    known_cases = await cases.fetch(uow.connection, {event.case_id for event in events.values()})
    rejected: list[RejectedEvent] = []
    first: dict[str, int] = {}
    for index, event in events.items():
        if event.event_id in seen:
            continue
        if event.case_id not in known_cases:
            rejected.append(RejectedEvent(index, Rejection.UNKNOWN_CASE))
        else:
            first.setdefault(event.event_id, index)
    stored = await wallet_events.keep(uow.connection, [events[index] for index in first.values()])
    new = {index: events[index] for event_id, index in first.items() if event_id in stored}
    decisions = await uow.apply([(event.case_id, _input(event)) for event in new.values()])
    no_voucher = [index for index, decision in zip(new, decisions, strict=True) if decision.rejected]
    await wallet_events.delete(uow.connection, [events[index].event_id for index in no_voucher])
    return rejected + [RejectedEvent(index, Rejection.NO_VOUCHER) for index in no_voucher]


def _input(event: VoucherEvent) -> Input:
    match EventType(event.type):
        case EventType.ACTIVATED:
            return ActivateVoucher(at=event.at)
        case EventType.USED:
            return UseVoucher(at=event.at)
