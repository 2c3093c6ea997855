"""Delivery receipts: matched with the texts they belong to, in any order of arrival."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway import metrics
from gateway.consent.events import TextUndeliverable
from gateway.consent.inputs import Input, ReportDelivered, ReportUndeliverable
from gateway.consent.texts import Kind
from gateway.smpp.receipt import IdRelation, MessageState, related_ids
from gateway.store import receipts
from gateway.store.receipts import Settled, StoredReceipt
from gateway.usecases.unit_of_work import Transactions, UnitOfWork

_INVERSE: Mapping[IdRelation, IdRelation] = {
    "exact": "exact",
    "hex-to-dec": "dec-to-hex",
    "dec-to-hex": "hex-to-dec",
    "auto": "auto",
}
"""How a receipt's id is converted to that of the submit_sm_resp: the inverse of `links.message_id`."""


class FinalReceipt(NamedTuple):
    """A receipt with a final message state."""

    link: str
    message_id: str
    state: MessageState
    error: str


class Receipts:
    """The use case of delivery receipts."""

    def __init__(self, *, transactions: Transactions, message_ids: Mapping[str, IdRelation]) -> None:
        """`message_ids` is by link the conversion from the id of a submit_sm_resp to that of its receipt."""
        self._transactions = transactions
        self._message_ids = message_ids

    async def apply(self, uow: UnitOfWork, received: Sequence[FinalReceipt]) -> None:
        """Applies receipts, each once; one whose text is unknown or not accepted yet is stored as unmatched."""
        await self._settle(uow, [self._stored(receipt) for receipt in received])

    async def match_unmatched(self, limit: int) -> int:
        """The number of unmatched receipts applied, at most `limit`: those whose text was accepted meanwhile."""

        async def work(uow: UnitOfWork) -> int:
            matching = await receipts.claim_matching(uow.connection, limit)
            stored = [
                self._stored(FinalReceipt(row.link, row.message_id, MessageState(row.state), row.error))
                for row in dict.fromkeys(matching)
                if row.link in self._message_ids
            ]
            await receipts.remove_unmatched(uow.connection, stored)
            await self._settle(uow, stored)
            return len(matching)

        return await self._transactions.run(work)

    async def _settle(self, uow: UnitOfWork, received: Sequence[StoredReceipt]) -> None:
        if not received:
            return
        settled = await receipts.settle(uow.connection, received)
        for receipt in received:
            metrics.RECEIPTS.labels(receipt.link, receipt.state).inc()
        await uow.apply([(s.case_id, _input(s)) for s in settled])

    def _stored(self, receipt: FinalReceipt) -> StoredReceipt:
        candidates = related_ids(receipt.message_id, _INVERSE[self._message_ids[receipt.link]])
        state = receipt.state
        return StoredReceipt(
            receipt.link, receipt.message_id, candidates, state.delivered, state.value, receipt.error
        )


def _input(settled: Settled) -> Input:
    kind = Kind(settled.kind)
    if settled.delivered:
        return ReportDelivered(text=kind, repeat=settled.repeat, msisdn=settled.msisdn)
    detail = TextUndeliverable(sms_id=settled.sms_id, text=settled.kind, state=settled.state, error=settled.error)
    return ReportUndeliverable(text=kind, repeat=settled.repeat, msisdn=settled.msisdn, detail=detail)
