"""Responses and failures of SMSCs for single segments, and the text that the handset shows in the end."""

from collections import Counter

import pytest

from gateway import metrics
from tests.harness import SEGMENTS, WITHIN, Family, Harness, metric


async def test_addresses_and_registered_delivery_are_as_configured(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    first, last = harness.smsc.submitted[0], harness.smsc.submitted[-1]
    assert (first.source, first.source_ton, first.source_npi) == ("1414", 3, 0)
    assert (first.destination, first.destination_ton, first.destination_npi) == (family.number, 1, 1)
    assert (first.data_coding, first.registered_delivery, last.registered_delivery) == (8, 0, 1)
    harness.no_complaints()


async def test_binds_and_texts_have_the_fields_that_the_operator_requires(harness: Harness) -> None:
    await harness.start(
        link={
            "system_type": "VMA",
            "interface_version": 0x33,
            "address_range": "^1414$",
            "address_ton": 3,
            "address_npi": 9,
            "service_type": "CMT",
            "dest_ton": 2,
            "dest_npi": 8,
            "validity_period": {"request": "3d", "agreed": "90m"},
        }
    )
    (session,) = harness.smsc.sessions
    bind = session.bind
    assert (bind.system_type, bind.interface_version, bind.address_range) == (b"VMA", 0x33, b"^1414$")
    assert (bind.addr_ton, bind.addr_npi) == (3, 9)
    agrees, refuses = Family(n=1), Family(n=2)
    await harness.ask(agrees, refuses)
    await harness.smsc.reply(agrees.number, "3#1")
    await harness.smsc.reply(refuses.number, "3#2")
    await harness.text(agrees, "socwallet")
    await harness.text(refuses, "", nth=2)
    sent = harness.smsc.submitted
    assert {(s.service_type, s.destination_ton, s.destination_npi) for s in sent} == {("CMT", 2, 8)}
    periods = [s.validity_period for s in sent if s.destination == agrees.number]
    assert set(periods) == {"000003000000000R", "000000013000000R"}
    assert {s.validity_period for s in sent if s.destination == refuses.number} == {"000003000000000R", ""}
    harness.no_complaints()


async def test_a_ussd_screen_keeps_its_service_type_and_has_no_validity_period(harness: Harness) -> None:
    await harness.start(
        link={"service_type": "CMT", "dest_ton": 2, "dest_npi": 8, "validity_period": {"request": "3d"}}
    )
    family = Family(n=1)
    await harness.ask(family)
    await (await harness.smsc.dial(family.number)).screen()
    screen = harness.smsc.submitted[-1]
    assert (screen.service_type, screen.validity_period) == ("USSD", "")
    assert (screen.destination_ton, screen.destination_npi) == (2, 8)


@pytest.mark.parametrize(("long_messages", "segments"), [("udh16", 16), ("sar", 16), ("payload", 1)])
async def test_a_long_text_arrives_whole_in_every_form_of_long_messages(
    harness: Harness, long_messages: str, segments: int
) -> None:
    await harness.start(link={"long_messages": long_messages})
    family = Family(n=1)
    await harness.ask(family)
    body = await harness.connection.fetchval("SELECT coalesce(body, filled_template(template, fields)) FROM sms")
    assert body is not None
    assert harness.smsc.inbox(family.number)[0].text == body
    assert len(harness.smsc.submitted) == segments


async def test_a_throttled_segment_is_sent_again(harness: Harness) -> None:
    harness.smsc.add("throttle nth=3")
    before = metric("segments_total", link="kcell", outcome="throttled")
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    assert metric("segments_total", link="kcell", outcome="throttled") == before + 1
    assert harness.smsc.inbox(family.number)[0].repeated == 0
    assert len(harness.smsc.submitted) == SEGMENTS + 1
    sent = [s.short_message for s in harness.smsc.submitted]
    assert [n for n in Counter(sent).values() if n > 1] == [2]


async def test_a_busy_smsc_is_sent_the_same_segments_again(harness: Harness) -> None:
    for rule in ("full nth=2", "full nth=5 status=RSYSERR", "full nth=7 status=RX_T_APPN", "nack nth=9"):
        harness.smsc.add(rule)
    before = metric("segments_total", link="kcell", outcome="busy")
    await harness.start()
    family, other = Family(n=1), Family(n=2)
    await harness.ask(family, other)
    assert metric("segments_total", link="kcell", outcome="busy") == before + 4
    assert harness.smsc.inbox(family.number)[0].repeated == 0


async def test_a_segment_without_response_is_sent_again_byte_for_byte(harness: Harness) -> None:
    harness.smsc.add("no_answer nth=4")
    before = metric("segments_unknown_total", link="kcell")
    await harness.start(link={"response_timeout": "300ms"})
    family = Family(n=1)
    await harness.ask(family)
    message = harness.smsc.inbox(family.number)[0]
    assert message.repeated == 1
    first, second = (s for s in harness.smsc.submitted if s.number == message.segments[4].number)
    assert first.short_message == second.short_message
    assert (first.reference, first.total) == (second.reference, SEGMENTS)
    assert metric("segments_unknown_total", link="kcell") == before + 1
    agreed = metrics.REGISTRY.get_sample_value("segments_unknown_total", {"link": "kcell"})
    assert agreed == metric("segments_unknown_total", link="kcell"), "under both names"
    assert len(harness.smsc.messages) == 1


async def test_a_text_with_a_late_response_is_accepted_once(harness: Harness) -> None:
    harness.smsc.add("delay nth=4 delay=0.5")
    await harness.start(link={"response_timeout": "300ms"})
    family = Family(n=1)
    await harness.ask(family)
    assert len(harness.smsc.messages) == 1
    assert (await harness.events(family)).count("text_accepted") == 1


async def test_after_a_connection_lost_in_mid_message_the_handset_shows_the_text_once(harness: Harness) -> None:
    """The SMSC has accepted segments without a response: they are sent again, and the handset drops duplicates."""
    cut = harness.smsc.add("drop_before nth=6")
    before = metric("segments_unknown_total", link="kcell")
    await harness.start(link={"window": 10})
    family = Family(n=1)
    await harness.ask(family)
    assert cut.fired == 1
    message = harness.smsc.inbox(family.number)[0]
    assert len(harness.smsc.messages) == 1
    assert message.text == await harness.connection.fetchval(
        "SELECT coalesce(body, filled_template(template, fields)) FROM sms"
    )
    assert len({s.reference for s in harness.smsc.submitted}) == 1
    assert message.repeated >= 1
    assert metric("segments_unknown_total", link="kcell") > before
    assert len(harness.smsc.connections) == 2


async def test_a_segment_with_a_response_is_never_sent_again(harness: Harness) -> None:
    harness.smsc.add("drop_after nth=7")
    await harness.start(link={"window": 1})
    family = Family(n=1)
    await harness.ask(family)
    assert harness.smsc.inbox(family.number)[0].repeated == 0
    assert len(harness.smsc.submitted) == SEGMENTS


async def test_an_empty_message_id_is_accepted_and_not_tracked(harness: Harness) -> None:
    harness.smsc.add("empty_id")
    await harness.start(link={"receipts": "all"})
    family = Family(n=1)
    await harness.ask(family)
    row = await harness.connection.fetchrow("SELECT state, tracked_segments, message_ids::text FROM sms")
    assert row is not None
    assert (row["state"], row["tracked_segments"]) == ("accepted", 0)
    assert await harness.connection.fetchval("SELECT count(*) FROM receipts_expected") == 0
    assert len(harness.smsc.submitted) == SEGMENTS


async def test_a_vendor_status_is_classified_by_the_statuses_of_the_link(harness: Harness) -> None:
    harness.smsc.add("refuse status=0x421 times=2")
    harness.smsc.add("refuse status=0x58 times=1 after=5")
    await harness.start(link={"statuses": {"0x421": "busy", "0x58": "busy"}})
    family = Family(n=1)
    await harness.ask(family)
    assert harness.smsc.inbox(family.number)[0].repeated == 0


async def test_unexpected_responses_lose_no_segment(harness: Harness) -> None:
    for rule in ("foreign nth=1", "unknown_tlv nth=2", "split nth=3", "reorder after=3"):
        harness.smsc.add(rule)
    before = metric("unexpected_pdus_total", link="kcell")
    await harness.start()
    families = [Family(n=n) for n in (1, 2, 3)]
    await harness.ask(*families)
    assert len(harness.smsc.connections) == 1
    assert metric("unexpected_pdus_total", link="kcell") == before + 1
    assert len(harness.smsc.submitted) == 3 * SEGMENTS


async def test_window_and_tps_are_never_exceeded(harness: Harness) -> None:
    harness.smsc.tps = 100
    harness.smsc.add("delay delay=0.05")
    await harness.start(link={"window": 4, "tps": 100})
    families = [Family(n=n) for n in range(1, 5)]
    await harness.ask(*families)
    assert harness.smsc.throttled == 0
    assert harness.smsc.max_in_flight == 4


async def test_text_3_is_sent_before_queued_requests(harness: Harness) -> None:
    await harness.start(link={"tps": 300})
    early = Family(n=1)
    await harness.ask(early)
    bulk = [Family(n=n) for n in range(2, 42)]
    await harness.push(*bulk)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 3 * SEGMENTS, within=WITHIN)
    await harness.smsc.reply(early.number, "3#1")
    replied = len(harness.smsc.submitted)
    message = await harness.text(early, "socwallet")
    between = [
        s for s in harness.smsc.submitted[replied:] if s.at <= message.last.at and s.destination != early.number
    ]
    assert len(between) < 10 * SEGMENTS  # of 40 texts, on a machine of any speed
    assert len(harness.smsc.submitted) < len(bulk) * SEGMENTS


async def test_a_text_in_backoff_does_not_delay_the_other_texts_of_its_link(harness: Harness) -> None:
    """Only the text for which the SMSC's queue is full waits."""
    harness.smsc.add("full to=77010000001 times=3")
    await harness.start(link={"window": 2})
    busy, free = Family(n=1), Family(n=2)
    await harness.ask(busy, free)
    assert harness.smsc.inbox(busy.number)[0].last.at > harness.smsc.inbox(free.number)[0].last.at
