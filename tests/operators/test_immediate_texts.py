"""Texts that the transaction which decides on them claims at once, because the link's send queue has room."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from gateway.backoff import Backoff
from gateway.operators.sender import Sender
from gateway.store.outbox import Priority
from gateway.store.sms import ClaimedSms
from gateway.usecases.immediate_texts import ImmediateTexts
from gateway.usecases.sent_texts import SentTexts
from gateway.usecases.unit_of_work import UnitOfWork
from tests.harness import WITHIN, Family, Harness
from tests.store.rows import new_sms

NO_QUEUEING = """
CREATE FUNCTION reject_queueing() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'a text was queued'; END $$;
CREATE TRIGGER reject_queueing BEFORE INSERT ON outbox FOR EACH ROW
EXECUTE FUNCTION reject_queueing()
"""


class NotConfirmedError(asyncpg.ConnectionDoesNotExistError):
    """A COMMIT whose response has not come."""


@pytest.fixture
def senders(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[Sender]:
    """The senders of the gateway that is started."""
    harness.set_policy(task_retry=Backoff(first_seconds=0.01, max_seconds=0.1))
    found: list[Sender] = []
    begin = Sender.__init__

    def noted(self: Sender, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        found.append(self)

    monkeypatch.setattr(Sender, "__init__", noted)
    return found


async def test_texts_are_sent_without_having_been_queued(harness: Harness) -> None:
    await harness.start()
    first, second = Family(n=1), Family(n=2)
    await harness.ask(first)  # the link has claimed what was there
    await harness.connection.execute(NO_QUEUEING)
    await harness.ask(second)
    await harness.smsc.reply(second.number, "3#1")
    await harness.text(second, "socwallet")
    rows = await harness.connection.fetch("SELECT state, attempts, node FROM sms ORDER BY sms_id")
    assert len(rows) == 3
    assert {(row["attempts"], row["node"]) for row in rows[:2]} == {(1, None)}
    harness.no_complaints()


async def test_a_text_whose_commit_was_not_confirmed_is_sent_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, senders: list[Sender]
) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    committed = ImmediateTexts.committed
    failed: list[ImmediateTexts] = []

    def lose(self: ImmediateTexts) -> None:
        if self._texts and not failed:
            failed.append(self)
            raise NotConfirmedError
        committed(self)

    monkeypatch.setattr(ImmediateTexts, "committed", lose)
    family = Family(n=2)
    await harness.ask(family)
    assert failed
    assert len(harness.smsc.inbox(family.number)) == 1
    assert not any(map(senders[0].arrivals.reserved, Priority))


async def test_a_transaction_that_is_rolled_back_gives_the_room_back(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, senders: list[Sender]
) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    write = UnitOfWork.write_journal
    aborted: list[UnitOfWork] = []

    async def abort(self: UnitOfWork) -> None:
        if senders[0].arrivals.reserved(Priority.BULK) and not aborted:
            aborted.append(self)
            raise asyncpg.DeadlockDetectedError
        await write(self)

    monkeypatch.setattr(UnitOfWork, "write_journal", abort)
    family = Family(n=2)
    await harness.ask(family)
    assert aborted
    assert len(harness.smsc.inbox(family.number)) == 1
    assert not any(map(senders[0].arrivals.reserved, Priority))


@pytest.mark.parametrize("priority", Priority)
async def test_a_full_queue_takes_no_text_until_it_has_claimed_those_that_were_queued(
    harness: Harness, senders: list[Sender], priority: Priority
) -> None:
    await harness.start()
    first, second = Family(n=1), Family(n=2)
    await harness.ask(first)
    (one,) = senders
    text = new_sms("case", "77010000009")
    whole = one.arrivals._queue
    one.arrivals._queue = replace(whole, has_room=lambda kind: kind is not priority and whole.has_room(kind))
    if priority is Priority.BULK:
        await harness.ask(second)
        assert not one.arrivals.reserve(text)
    else:
        await harness.smsc.reply(first.number, "3#2")
        await harness.text(first, "", nth=2)
    one.arrivals._queue = whole
    await harness.ask(Family(n=3))
    if priority is Priority.BULK:
        assert one.arrivals.reserve(text)
        one.arrivals.abandon([text], written=False)
    queued = await harness.connection.fetchval("SELECT count(*) FROM outbox")
    assert queued == 0


async def test_a_link_is_released_after_the_transactions_that_have_room_in_its_queue(
    harness: Harness, senders: list[Sender]
) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    (one,) = senders
    text = new_sms("case", "77010000009")
    assert one.arrivals.reserve(text)
    one.stop()
    assert not one.arrivals.reserve(text)
    flushing = asyncio.create_task(one.flush())
    done, _ = await asyncio.wait([flushing], timeout=0.05)
    assert not done
    one.arrivals.abandon([text], written=False)
    async with asyncio.timeout(WITHIN):
        await flushing


async def test_a_text_that_this_process_has_claimed_unknowingly_is_found_and_sent(
    harness: Harness,
) -> None:
    """A COMMIT that was not confirmed may come after the connection was given up."""
    harness.set_policy(links={"unheld_review_seconds": 0.1})
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.connection.execute(
        """WITH unheld AS (
               INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages,
                                reference, segments, state, node, attempts, created_at)
               SELECT case_id, 'clarify', 0, link, msisdn, 0, template, 'Қайталаңыз', 'udh8', 9, 1, 'sending',
                      (SELECT node FROM nodes), 1, created_at FROM sms
               RETURNING node, sms_id)
           INSERT INTO sending (node, sms_id) SELECT node, sms_id FROM unheld"""
    )
    await harness.text(family, "Қайталаңыз")


async def test_a_text_does_not_go_before_those_that_were_queued_while_the_link_did_not_send(
    harness: Harness, senders: list[Sender]
) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    (one,) = senders
    text = new_sms("case", "77010000009")
    assert one.arrivals.reserve(text)
    one.arrivals.abandon([text], written=False)
    one.stop()
    assert not one.arrivals.reserve(text)  # it is queued
    one.resume()
    assert not one.arrivals.reserve(text)


async def test_the_database_is_not_asked_for_texts_while_all_room_is_reserved(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, senders: list[Sender]
) -> None:
    await harness.start(link={"tps": 40})
    await harness.ask(Family(n=1))
    (one,) = senders
    claims: list[int] = []
    claim = SentTexts.claim

    async def counted(self: SentTexts, *, bulk: bool, limit: int) -> list[ClaimedSms]:
        claims.append(limit)
        return await claim(self, bulk=bulk, limit=limit)

    text = replace(new_sms("case", "77010000009"), segments=16)
    assert one.arrivals.reserve(text)
    assert not one.arrivals.reserve(text)
    monkeypatch.setattr(SentTexts, "claim", counted)
    one.pump()
    await harness.connection.execute("SELECT pg_sleep(0.5)")
    assert len(claims) <= 3
    one.arrivals.abandon([text], written=False)


async def test_a_question_counts_as_unsent_until_its_unconfirmed_commit_is_settled(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, senders: list[Sender]
) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    (one,) = senders
    unsent = one._state.unsent_questions
    text = new_sms("case", "77010000009")
    assert one.arrivals.reserve(text)
    assert unsent == {"case"}
    released, release = asyncio.Event(), SentTexts.release_others

    async def noted(self: SentTexts, held: Collection[int]) -> None:
        await release(self, held)
        released.set()

    monkeypatch.setattr(SentTexts, "release_others", noted)
    one.arrivals.abandon([text], written=True)
    assert unsent == {"case"}
    async with asyncio.timeout(WITHIN):
        await released.wait()
    assert unsent == set()


async def test_a_question_that_was_unsent_before_a_reservation_is_so_after_it(
    harness: Harness, senders: list[Sender]
) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    (one,) = senders
    text = new_sms("case", "77010000009")
    one._state.unsent_questions.add("case")  # at another number
    assert one.arrivals.reserve(text)
    one.arrivals.abandon([text], written=False)
    assert one._state.unsent_questions == {"case"}
