"""After erasure the database has no personal data of a case; its outcome and evidence stay."""

from datetime import timedelta

import pytest

from gateway.store import erasure, history, journal, journal_check, statuses
from tests.entries import change_rows
from tests.harness import Family, Harness, harness
from tests.journal_entries import all_entries

__all__ = ["harness"]

KEEP_NOTHING = timedelta()


async def traces(harness: Harness, *secrets: str) -> dict[str, list[str]]:
    """The secrets found in each table, as text, as UCS-2 or as octets in hexadecimal."""
    wanted = {*secrets, *(s.encode("utf-16-be").hex() for s in secrets), *(s.encode().hex() for s in secrets)}
    tables = await harness.connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    found: dict[str, list[str]] = {}
    for (table,) in tables:
        rows = await harness.connection.fetch(f"SELECT t::text AS row FROM {table} AS t")
        if hits := sorted({secret for row in rows for secret in wanted if secret in row["row"]}):
            found[table] = hits
    return found


@pytest.fixture
async def finished(harness: Harness) -> Harness:
    """A harness whose database has names and numbers in every table that can have them."""
    await harness.start()
    agreed, refused, without_number, siblings = (
        Family(n=1),
        Family(n=2),
        Family(n=3, mother=None, father=None),
        [Family(n=4, mother="77010000004"), Family(n=5, mother="77010000004")],
    )
    await harness.ask(agreed, refused, siblings[0])
    await harness.push(without_number, siblings[1])
    for number in (agreed.number, refused.number):
        await harness.smsc.reply(number, "Ахметова 8703")
    await harness.smsc.reply(agreed.number, "3#1")
    await harness.smsc.reply(refused.number, "3#2")
    await harness.status(agreed, "voucher_issued")
    await harness.smsc.reply(agreed.number, "3#2")
    for sibling in siblings:
        await harness.status(sibling, "asked")
        await harness.act(sibling, "cancel", {"reason": "says Ахметова of the school"})
    await harness.status(without_number, "no_number")
    await harness.text(refused, "бас тарттыңыз")
    await harness.text(agreed, "socwallet")
    await harness.smsc.reply("77019999999", "бұл Ахметова")
    await harness.stop()
    return harness


SECRETS = ["Ахметова", "Айгүл", "Нұрлан", "77010000001", "77010000002", "77010000004", "77019999999"]


async def erase(harness: Harness) -> int:
    connection = harness.connection
    now = await connection.fetchval("SELECT clock_timestamp() + interval '1 s'")
    async with connection.transaction():
        erased = await erasure.erase_ended(connection, now, now, lambda octets: "hash", 500)
        await erasure.erase_unassigned_replies(connection, now)
    return len(erased)


async def test_after_erasure_no_table_has_a_name_or_a_number(finished: Harness) -> None:
    iins = [Family(n=n).pupil_iin for n in range(1, 6)]
    assert await traces(finished, *SECRETS, *iins)
    assert await erase(finished) == 5
    assert await traces(finished, *SECRETS, *iins) == {}


async def test_words_about_a_case_are_shown_until_they_are_erased_and_are_never_in_the_journal(
    harness: Harness,
) -> None:
    await harness.start()
    cancelled, rejected = Family(n=1), Family(n=2)
    await harness.ask(cancelled, rejected)
    body = '{"reason": "Ахметова has one"}'
    harness.wallet.fail(status=422, body=body, content_type="application/problem+json")
    await harness.smsc.reply(rejected.number, "3#1")
    assert (await harness.act(cancelled, "cancel", {"reason": "says Akhmetova"}))[0] == 200
    said = {"cancelled": (cancelled, "says Akhmetova"), "voucher_rejected": (rejected, "Ахметова has one")}
    for event, (family, words) in said.items():
        assert (await harness.status(family, event))["detail"] == {"reason": words}
    await harness.stop()
    journaled = await all_entries(harness.connection)
    assert not [entry for entry in journaled if "khmetov" in entry.detail or "Ахмет" in entry.detail]
    async with harness.connection.transaction():
        shown = await statuses.after(harness.connection, 0, 100)
        assert {e.event: e.detail for e in shown if e.event in said} == {
            event: {"reason": words} for event, (_, words) in said.items()
        }
    assert await erase(harness) == 2
    by = {"cancelled": {"by": "ops"}}
    for event, (family, _) in said.items():
        entries = await history.of_case(harness.connection, await harness.case_id(family))
        assert [e.detail for e in entries if e.event in said] == [{"reason": "erased", **by.get(event, {})}]
    assert await harness.connection.fetchval("SELECT count(*) FROM case_reasons") == 0


async def test_erasure_keeps_outcomes_and_evidence(finished: Harness) -> None:
    before = await finished.connection.fetch(
        "SELECT case_id, state, evidence, voucher_id FROM cases ORDER BY case_id"
    )
    while await journal.seal(finished.connection):
        pass
    await erase(finished)
    after = await finished.connection.fetch(
        "SELECT case_id, state, evidence, voucher_id FROM cases ORDER BY case_id"
    )
    assert after == before
    assert (await journal_check.verify(finished.connection)).fault is None
    verdicts = await finished.connection.fetch(
        "SELECT verdict FROM replies WHERE source_addr = 'hash' ORDER BY verdict"
    )
    assert [row["verdict"] for row in verdicts] == ["agree", "refuse", "refuse", "unclear", "unclear"]
    kept = await finished.connection.fetch("SELECT template, message_ids, body, fields FROM sms")
    assert all(row["template"] and row["body"] is row["fields"] is None for row in kept)


async def test_an_open_case_continues_after_the_erasure_of_its_sibling(harness: Harness) -> None:
    await harness.start()
    ended, still_open = Family(n=1, mother="77010000001"), Family(n=2, mother="77010000001")
    await harness.ask(ended)
    await harness.push(still_open)
    await harness.smsc.reply(ended.number, "3#2")
    await harness.status(still_open, "asked")
    assert await erase(harness) == 1
    await harness.smsc.reply(still_open.number, "3#1 иә")
    await harness.status(still_open, "voucher_issued")
    assert await harness.connection.fetchval("SELECT count(*) FROM subscribers") == 1


async def test_the_held_reply_of_an_erased_case_cannot_be_counted(finished: Harness) -> None:
    await finished.connection.execute("UPDATE cases SET held = 'refuse' WHERE state = 'no_number'")
    await erase(finished)
    assert await finished.connection.fetch("SELECT FROM cases WHERE held IS NOT NULL") == []


async def test_an_erased_case_is_not_erased_again(finished: Harness) -> None:
    assert (await erase(finished), await erase(finished)) == (5, 0)


async def test_a_queued_text_of_an_erased_case_is_cancelled(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.stop()
    await change_rows(
        harness.connection,
        "UPDATE cases SET state = 'refused', ended_at = now() - interval '1 day', due_at = NULL;"
        "UPDATE sms SET state = 'queued', node = NULL",
    )
    await erase(harness)
    await harness.start()
    await harness.ask(Family(n=2))
    assert await harness.connection.fetchval("SELECT state FROM sms ORDER BY sms_id LIMIT 1") == "cancelled"
