"""Delivery receipts: matched with the texts they belong to, in any order of arrival."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from gateway import metrics
from gateway.consent.details import TextUndeliverable
from gateway.consent.inputs import Input, ReportDelivered, ReportUndeliverable
from gateway.consent.texts import Kind
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.smpp.receipt import IdRelation, MessageState
from gateway.smpp.relation import LEAD, decided, response_ids, vote
from gateway.store import id_relations, receipts
from gateway.store.id_relations import IdVotes
from gateway.store.receipts import ReadReceipt, Settled, StoredReceipt, UnmatchedReceipt
from gateway.usecases.unit_of_work import Transactions, UnitOfWork

log = get_logger()

MAX_UNKNOWN_STATES = 20
"""Names counted for each link; what comes after them is counted as OTHER_STATES."""
OTHER_STATES = "(other)"


class FinalReceipt(NamedTuple):
    """A receipt with a final message state."""

    link: str
    message_id: str
    state: MessageState
    error: str
    msisdn: str = ""  # that it is about; "" when it has no number
    by_text: bool = False  # only its text makes it a receipt


class Receipts:
    """The use case of delivery receipts."""

    def __init__(
        self, *, transactions: Transactions, message_ids: Mapping[str, IdRelation], any_segment: Collection[str]
    ) -> None:
        """`message_ids` is by link the conversion from the id of a submit_sm_resp to that of its receipt.

        `any_segment` are the links where a receipt for any segment stands for the text.
        """
        self._transactions = transactions
        self._message_ids = message_ids
        self._any_segment = any_segment
        self._known: dict[str, IdRelation] = {
            link: relation for link, relation in message_ids.items() if relation != "auto"
        }
        self._contradictions: dict[str, dict[tuple[str, str], StoredReceipt]] = {}
        self._unknown_states: defaultdict[str, set[str]] = defaultdict(set)

    async def apply(self, uow: UnitOfWork, received: Sequence[FinalReceipt]) -> None:
        """Applies receipts, each once; one whose text is unknown or not accepted yet is stored as unmatched.

        So is one whose id may be read in several ways, while the relation of its link is not decided.
        """
        if not received:
            return
        for receipt in received:
            metrics.RECEIPTS.labels(receipt.link, receipt.state.value).inc()
        if any(r.link not in self._known and len(response_ids(r.message_id, "auto")) > 1 for r in received):
            await self._undecided(uow)
        stored = [_stored(receipt, self._known.get(receipt.link, "auto")) for receipt in received]
        ambiguous = [receipt for receipt in stored if len(receipt.keys) > 1]
        clear = [receipt for receipt in stored if len(receipt.keys) == 1]
        if ambiguous:
            await receipts.keep_unmatched(uow.connection, ambiguous)
            links = {receipt.link for receipt in ambiguous}
            clear += await self._read(uow, await receipts.claim_unambiguous(uow.connection, links, len(received)))
        outcome = await receipts.settle(uow.connection, clear)
        await self._check_learnt(uow, clear, outcome.unconfirmed)
        await uow.apply([(s.case_id, _input(s)) for s in outcome.settled])

    async def match_unmatched(self, limit: int) -> int:
        """The number of receipts of one kind that were applied, at most `limit`: texts were accepted meanwhile."""

        async def work(uow: UnitOfWork) -> int:
            connection, undecided = uow.connection, await self._undecided(uow, reread=True)
            matching = await receipts.claim_matching(connection, self._known, limit)
            readable = await receipts.claim_unambiguous(connection, undecided, limit) if undecided else []
            whole = await receipts.claim_of_any_segment(connection, self._any_segment, limit)
            found = dict.fromkeys(map(_final, matching))
            if found:
                await receipts.remove_unmatched(connection, [_by_all_keys(_stored(receipt)) for receipt in found])
            stored = [_stored(receipt, self._known[receipt.link]) for receipt in found]
            stored += await self._read(uow, readable)
            of_texts = [receipt.sms_id for receipt in whole]
            outcome = await receipts.settle(
                connection, stored, list(zip(await self._read(uow, whole), of_texts, strict=True))
            )
            await uow.apply([(s.case_id, _input(s)) for s in outcome.settled])
            return max(len(matching), len(readable), len(whole))

        return await self._transactions.run(work)

    def count_unknown(self, states: Iterable[tuple[str, str]]) -> None:
        """Counts states of receipts that are not known, by link; each is logged when it comes the first time."""
        for link, state in states:
            seen = self._unknown_states[link]
            if state not in seen and len(seen) < MAX_UNKNOWN_STATES:
                seen.add(state)
                log.warning(LogEvent.RECEIPT_STATE_UNKNOWN, link=link, state=state)
            metrics.RECEIPTS_UNKNOWN.labels(link, state if state in seen else OTHER_STATES).inc()

    def count_not_final(self, states: Iterable[tuple[str, MessageState]]) -> None:
        """Counts receipts that change nothing, by link and state: another may follow."""
        for link, state in states:
            metrics.RECEIPTS_NOT_FINAL.labels(link, state.value).inc()

    async def _undecided(self, uow: UnitOfWork, *, reread: bool = False) -> Collection[str]:
        """The links whose relation is not known yet. One that was decided is read from the database.

        With `reread` all are read: another process may have withdrawn one.
        """
        learnt = {link for link, relation in self._message_ids.items() if relation == "auto"}
        if unread := learnt if reread else learnt - self._known.keys():
            found = await id_relations.decided(uow.connection, unread)
            for link in unread - found.keys():
                self._known.pop(link, None)
            self._known.update((link, cast("IdRelation", relation)) for link, relation in found.items())
        return learnt - self._known.keys()

    async def _check_learnt(
        self, uow: UnitOfWork, read: Sequence[StoredReceipt], unconfirmed: Collection[int]
    ) -> None:
        """Withdraws a learnt relation that LEAD receipts in a row contradict: the SMSC writes ids otherwise now.

        A receipt contradicts when only another relation makes it one of a text to its number.
        """
        suspect = [place for place in unconfirmed if self._is_learnt(read[place])]
        if not suspect and not self._contradictions:
            return
        others = [_by_other_keys(read[place]) for place in suspect]
        fitting = await receipts.to_their_number(uow.connection, others) if others else ()
        contradicting = {suspect[n] for n in fitting}
        for place, receipt in enumerate(read):
            if place in contradicting:
                self._contradictions.setdefault(receipt.link, {})[receipt.message_id, receipt.msisdn] = receipt
            elif place not in unconfirmed and self._is_learnt(receipt):
                self._contradictions.pop(receipt.link, None)
        for link in [link for link, found in self._contradictions.items() if len(found) >= LEAD]:
            await self._withdraw(uow, link)

    def _is_learnt(self, receipt: StoredReceipt) -> bool:
        """Whether its id was read by a learnt relation, and could have been read otherwise."""
        if receipt.link not in self._known or self._message_ids.get(receipt.link) != "auto" or not receipt.msisdn:
            return False
        return len(response_ids(receipt.message_id, "auto")) > 1

    async def _withdraw(self, uow: UnitOfWork, link: str) -> None:
        """Forgets the relation of the link. The receipts that contradict it can be read in every way again."""
        contradicting = [_by_all_keys(receipt) for receipt in self._contradictions.pop(link).values()]
        log.warning(LogEvent.MESSAGE_ID_WITHDRAWN, link=link, relation=self._known.pop(link))
        await id_relations.withdraw(uow.connection, link)
        await receipts.remove_unmatched(uow.connection, contradicting)
        await receipts.keep_unmatched(uow.connection, contradicting)

    async def _read(self, uow: UnitOfWork, claimed: Sequence[ReadReceipt]) -> list[StoredReceipt]:
        """The claimed receipts, each with its one key; learns from them how their links write message_ids."""
        stored = [_stored(_final(read.receipt)) for read in claimed]
        if not stored:
            return []
        await receipts.remove_unmatched(uow.connection, [_by_all_keys(receipt) for receipt in stored])
        shown = Counter(
            (row.link, relation)
            for row in dict.fromkeys(read.receipt for read in claimed if read.is_evidence)
            if row.link not in self._known and (relation := vote(row.message_id, row.key)) is not None
        )
        votes = [
            IdVotes(link, shown[link, "exact"], shown[link, "hex-to-dec"], shown[link, "dec-to-hex"])
            for link in sorted({link for link, _ in shown})
        ]
        for total in await id_relations.count(uow.connection, votes) if votes else ():
            relation = decided(
                {"exact": total.exact, "hex-to-dec": total.hex_to_dec, "dec-to-hex": total.dec_to_hex}
            )
            if relation is not None and await id_relations.decide(uow.connection, total.link, relation):
                log.info(LogEvent.MESSAGE_ID_DECIDED, link=total.link, relation=relation)
        return [receipt._replace(keys=[read.receipt.key]) for receipt, read in zip(stored, claimed, strict=True)]


def _final(row: UnmatchedReceipt) -> FinalReceipt:
    return FinalReceipt(row.link, row.message_id, MessageState(row.state), row.error, row.msisdn, row.by_text)


def _stored(receipt: FinalReceipt, relation: IdRelation = "auto") -> StoredReceipt:
    """The receipt with the keys of its relation; with "auto", of all of them, or of "exact" without a number."""
    keys = response_ids(receipt.message_id, relation if relation != "auto" or receipt.msisdn else "exact")
    return StoredReceipt(
        receipt.link,
        receipt.message_id,
        keys,
        receipt.state.delivered,
        receipt.state.value,
        receipt.error,
        receipt.msisdn,
        receipt.by_text,
    )


def _by_all_keys(receipt: StoredReceipt) -> StoredReceipt:
    """The receipt with every key under which it may be stored as unmatched."""
    return receipt._replace(keys=response_ids(receipt.message_id, "auto"))


def _by_other_keys(receipt: StoredReceipt) -> StoredReceipt:
    """The receipt with the keys of the other relations."""
    return receipt._replace(keys=[k for k in response_ids(receipt.message_id, "auto") if k not in receipt.keys])


def _input(settled: Settled) -> Input:
    kind = Kind(settled.kind)
    if settled.delivered:
        return ReportDelivered(text=kind, repeat=settled.repeat, msisdn=settled.msisdn)
    detail = TextUndeliverable(sms_id=settled.sms_id, text=settled.kind, state=settled.state, error=settled.error)
    return ReportUndeliverable(text=kind, repeat=settled.repeat, msisdn=settled.msisdn, detail=detail)
