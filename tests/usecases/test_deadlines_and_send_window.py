"""Repeats, ends and send windows, with a clock that runs faster than real time."""

from datetime import UTC, datetime, timedelta

from gateway.config.timezones import load_timezone
from tests.harness import SEGMENTS, Family, Harness, set_due

ALMATY = load_timezone("Asia/Almaty")
TWO_DAYS_A_SECOND = 172_800.0
TWO_HOURS_A_SECOND = 7_200.0


async def test_a_case_without_a_reply_is_repeated_and_ends_after_its_deadlines(harness: Harness) -> None:
    """A reply to the repeat counts; a reply after the end is late."""
    await harness.start(clock={"rate": TWO_DAYS_A_SECOND}, journey={"grace": "0s", "send_window": "00:00-24:00"})
    silent, answering = Family(n=1), Family(n=2)
    await harness.ask(silent, answering)

    await harness.status(answering, "reminded")
    await harness.text(answering, "3#1", nth=2)
    await harness.smsc.reply(answering.number, "3#1")
    await harness.status(silent, "no_answer")
    await harness.smsc.reply(silent.number, "3#1")
    await harness.status(silent, "late_reply")
    await harness.status(answering, "voucher_issued")

    assert harness.sdu.statuses(silent.record_id) == [
        "received",
        "number_found",
        "asked",
        "reminded",
        "no_answer",
        "late_reply",
    ]
    assert len(harness.smsc.inbox(silent.number)) == 2
    texts = "SELECT t.accepted_at FROM sms t JOIN cases c USING (case_id) WHERE c.record_id = $1 ORDER BY t.sms_id"
    accepted = [row["accepted_at"] for row in await harness.connection.fetch(texts, silent.record_id)]
    reported = {event["status"]: datetime.fromisoformat(event["at"]) for event in harness.sdu.of(silent.record_id)}
    request, repeat, end = (at.astimezone(ALMATY).date() for at in (*accepted, reported["no_answer"]))
    assert repeat - request >= timedelta(days=4)
    assert end - repeat >= timedelta(days=4)
    harness.no_complaints()


async def test_the_deadline_of_a_question_is_midnight_four_days_after_its_acceptance(harness: Harness) -> None:
    await harness.start(journey={"send_window": "00:00-24:00"})
    family = Family(n=1)
    await harness.ask(family)
    case = await harness.case(family)
    accepted_on = (await harness.connection.fetchval("SELECT accepted_at FROM sms")).astimezone(ALMATY).date()
    due_at = case["due_at"].astimezone(ALMATY)
    assert due_at.date() == accepted_on + timedelta(days=4)
    assert (due_at.hour, due_at.minute) == (0, 0)


async def test_a_repeat_is_sent_once_when_it_is_due(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await set_due(harness.connection, "now() - interval '1 s'")
    event = await harness.status(family, "reminded")
    assert event["detail"] == {"relation": "mother"}
    await harness.text(family, "3#1", nth=2)
    due_at = (await harness.case(family))["due_at"].astimezone(ALMATY)
    assert (due_at.hour, due_at.minute) == (0, 10)
    first, second = harness.smsc.inbox(family.number)
    assert first.text == second.text
    assert first.reference != second.reference


async def test_outside_the_send_window_a_request_waits_and_text_3_is_sent(harness: Harness) -> None:
    hour = datetime.now(UTC).astimezone(ALMATY).hour
    closed_now = "02:00-03:00" if hour >= 12 else "20:00-21:00"
    process = await harness.start()
    before = Family(n=1)
    await harness.ask(before)
    await process.stop()
    await harness.start(journey={"send_window": closed_now})
    family = Family(n=2)
    await harness.push(family)
    await harness.journaled(family, "text_queued")
    await harness.smsc.reply(before.number, "3#1")  # the text it gets proves that the link sends
    await harness.text(before, "socwallet")
    assert harness.smsc.inbox(family.number) == []
    assert len(harness.smsc.submitted) == SEGMENTS + harness.smsc.inbox(before.number)[1].total
    status, answer = await harness.request("GET", "/v1/lists/list-2")
    assert (status, answer["progress"]["queued"]) == (200, 1)


async def test_a_text_queued_at_night_is_sent_when_the_send_window_opens(harness: Harness) -> None:
    hour = datetime.now(UTC).astimezone(ALMATY).hour
    opens = (hour + 9) % 24  # seconds from now: the number is found before it
    opens = opens if opens <= 20 else 1
    window = f"{opens:02}:00-{opens + 3:02}:00"
    await harness.start(clock={"rate": TWO_HOURS_A_SECOND}, journey={"send_window": window})
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "asked")
    found, asked = (datetime.fromisoformat(event["at"]).hour for event in harness.sdu.of(family.record_id)[1:])
    assert not opens <= found < opens + 3
    assert opens <= asked < opens + 3
