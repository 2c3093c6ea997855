"""USSD over SMPP: dialogues between the gateway and a handset that dials, and the replies made in them."""

import asyncio
from typing import Any

import pytest

from gateway.simulators.ussd import OP as SERVICE_OP
from gateway.simulators.ussd import (
    PSSD_RESPONSE,
    PSSR_RESPONSE,
    SESSION,
    USSR_CONFIRM,
    USSR_REQUEST,
    Dialogue,
)
from gateway.store import dialogues, nodes, sms
from tests.entries import change_rows
from tests.harness import SEGMENTS, Family, Harness, metric
from tests.store.rows import FOREVER

PSSD_INDICATION = 0  # ussd_service_op (SMPP 3.4 §5.3.2.44)

MENU = {
    "kk": "Балаңызға тегін тамақтануға келісесіз бе?\n1 - келісемін\n2 - бас тартамын",
    "ru": "Бесплатное питание для Вашего ребёнка?\n1 - согласие\n2 - отказ",
}
NO_OPEN_QUESTION = "Сізге қойылған ашық сұрақ жоқ."
INVALID = "Жауап түсініксіз. SMS жіберіңіз: 3#1 - келісу, 3#2 - бас тарту."


async def asked(harness: Harness, n: int = 1, language: str = "kk") -> Family:
    family = Family(n=n, language=language)
    await harness.ask(family)
    return family


def ops(harness: Harness) -> list[int]:
    """ussd_service_op of every screen, in order."""
    return [s.tlvs[SERVICE_OP][0] for s in harness.smsc.submitted if SERVICE_OP in s.tlvs]


async def menu(harness: Harness, family: Family, **how: Any) -> Dialogue:
    """A dialogue whose menu has reached the handset."""
    dialogue = await harness.smsc.dial(family.number, **how)
    assert await dialogue.screen() == MENU[family.language]
    return dialogue


async def test_1_in_a_dialogue_is_a_consent_and_text_3_is_sent_by_sms(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    assert not dialogue.ended
    assert await dialogue.reply("1") == 0
    assert (await dialogue.screen()).startswith("Келісіміңіз қабылданды")
    assert dialogue.ended
    await harness.text(family, "socwallet")
    await harness.status(family, "voucher_issued")
    event = await harness.status(family, "consented")
    assert event["detail"]["normalised"] is False
    assert ops(harness) == [USSR_REQUEST, PSSR_RESPONSE]
    harness.no_complaints()


async def test_2_in_a_dialogue_is_a_refusal_and_text_2_is_sent_by_sms(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness, language="ru")
    dialogue = await menu(harness, family)
    await dialogue.reply("2")
    assert await dialogue.screen() == "Вы отказались от услуги."
    await harness.text(family, "Вы отказались от услуги.")
    await harness.status(family, "refused")
    harness.no_complaints()


async def test_a_reply_by_ussd_is_kept_as_evidence(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("1", encoding="ucs2")
    await dialogue.screen()
    case = await harness.case(family)
    reply = await harness.connection.fetchrow("SELECT * FROM replies WHERE case_id = $1", case["case_id"])
    assert reply is not None
    assert (reply["octets"], reply["data_coding"], reply["verdict"]) == (b"\x001", 8, "agree")
    read = await harness.journaled(family, "reply_read")
    assert read["ussd"] is True
    assert case["evidence"] == "sha256:" + read["reply"].rpartition(":")[2]
    shown = [detail for event, detail in await harness.journal(family) if event == "text_queued"]
    assert [detail["text"] for detail in shown if detail["text"].startswith("menu")] == ["menu", "menu_agreed"]
    kept = await harness.connection.fetchrow("SELECT body, template FROM sms WHERE kind = 'menu'")
    assert kept is not None
    assert kept["body"] == MENU["kk"]
    name = await harness.connection.fetchval("SELECT name FROM templates WHERE version = $1", kept["template"])
    assert name == "menu"


@pytest.mark.parametrize("session_info", [None, b"\x07\x00", b"\xff\xff", b"\x00\x01\x02\x03"])
async def test_the_ussd_session_id_is_echoed_unchanged(harness: Harness, session_info: bytes | None) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family, session_info=session_info)
    first = dialogue.session_info
    await dialogue.reply("1")
    await dialogue.screen()
    echoed = [s.tlvs[SESSION] for s in harness.smsc.submitted if SERVICE_OP in s.tlvs]
    assert echoed == [first, dialogue.session_info]
    harness.no_complaints()


@pytest.mark.parametrize("code", ["*1414*3#", "*1414#", "*1414*3*1#", "", "*1414*99#"])
async def test_every_dialled_code_shows_the_menu_of_the_open_question(harness: Harness, code: str) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family, code=code)


async def test_without_an_open_question_a_dialogue_ends_with_a_notice(harness: Harness) -> None:
    await harness.start()
    dialogue = await harness.smsc.dial("77017654321")
    assert await dialogue.screen() == NO_OPEN_QUESTION
    assert dialogue.ended
    assert ops(harness) == [PSSR_RESPONSE]
    await harness.journaled(None, "reply_ignored")


@pytest.mark.parametrize("dialled", ["*1414*3#", "3#1"])
async def test_what_was_dialled_is_kept_and_makes_no_sms_a_redelivery(harness: Harness, dialled: str) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family, code=dialled)
    kept = await harness.connection.fetchrow("SELECT * FROM replies")
    assert kept is not None
    assert (kept["octets"].decode(), kept["case_id"], kept["verdict"]) == (dialled, None, "other")
    assert kept["session"] is not None
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "consented")


async def test_ussd_that_is_not_from_a_number_is_kept_counted_and_journaled(harness: Harness) -> None:
    await harness.start()
    before = metric("replies_ignored_total", link="kcell", reason="not from a number")
    assert await harness.smsc.dial("SERVICE", code="3#1")
    assert await harness.connection.fetchval("SELECT octets FROM replies") == b"3#1"
    assert (await harness.journaled(None, "reply_ignored"))["reason"] == "not from a number"
    assert metric("replies_ignored_total", link="kcell", reason="not from a number") == before + 1


async def test_after_a_refusal_a_dialogue_ends_with_a_notice_in_the_language_of_the_case(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness, language="ru")
    await harness.smsc.reply(family.number, "3#2")
    await harness.status(family, "refused")
    dialogue = await harness.smsc.dial(family.number)
    assert await dialogue.screen() == "Для Вас сейчас нет открытых вопросов."


async def test_a_question_that_was_never_submitted_is_not_shown_by_ussd(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await harness.connection.execute("UPDATE sms SET attempts = 0")  # as before any process has claimed it
    dialogue = await harness.smsc.dial(family.number)
    assert await dialogue.screen() == NO_OPEN_QUESTION


async def test_invalid_ussd_input_shows_the_menu_once_more_and_then_ends_the_dialogue(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("3")
    assert await dialogue.screen() == MENU["kk"]
    await dialogue.reply("да")
    assert await dialogue.screen() == INVALID
    assert dialogue.ended
    assert ops(harness) == [USSR_REQUEST, USSR_REQUEST, PSSR_RESPONSE]
    assert (await harness.case(family))["state"] == "asked"
    assert len(harness.smsc.inbox(family.number)) == 1  # no clarification by SMS


async def test_a_digit_counts_after_the_menu_was_shown_again(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("12")
    assert await dialogue.screen() == MENU["kk"]
    await dialogue.reply("2")
    await dialogue.screen()
    await harness.status(family, "refused")


async def test_an_abort_ends_the_ussd_dialogue(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    assert await dialogue.abort() == 0
    await harness.journaled(family, "dialogue_aborted")
    await dialogue.abort()
    assert (await harness.journaled(None, "reply_ignored"))["reason"] == "aborted with no dialogue open"
    assert await harness.connection.fetchval("SELECT count(*) FROM dialogues") == 0
    await dialogue.reply("1")  # too late
    assert (await harness.case(family))["state"] == "asked"


async def test_a_ussd_dialogue_expires_after_90_s(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    left = await harness.connection.fetchval("SELECT expires_at - clock_timestamp() FROM dialogues")
    assert 80 < left.total_seconds() <= harness.policy.dialogue_lifetime_seconds == 90
    await harness.connection.execute("UPDATE dialogues SET expires_at = clock_timestamp()")
    await dialogue.reply("1")
    assert await dialogue.screen() == INVALID
    assert (await harness.case(family))["state"] == "asked"
    assert (await harness.journaled(family, "reply_ignored"))["reason"] == "typed with no dialogue open"


async def test_a_digit_counts_only_for_the_case_whose_menu_was_shown(harness: Harness) -> None:
    """While the menu is shown, the question gets a reply by SMS, and the sibling's question is sent."""
    await harness.start()
    first, second = (Family(n=n, mother="77010000001") for n in (1, 2))
    await harness.push(first, second)
    await harness.status(first, "asked")
    dialogue = await menu(harness, first)
    await harness.smsc.reply(first.number, "3#2")
    await harness.status(second, "asked")
    await dialogue.reply("1")
    assert await dialogue.screen() == NO_OPEN_QUESTION
    await harness.status(first, "late_reply")
    assert (await harness.case(second))["state"] == "asked"


async def test_a_digit_from_another_number_or_session_counts_for_no_case(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    other_number = await harness.smsc.dial("77017654321", op=USSR_CONFIRM)
    assert await other_number.screen() == NO_OPEN_QUESTION
    without_menu = await harness.smsc.dial(family.number, "1", op=USSR_CONFIRM)
    assert await without_menu.screen() == INVALID
    assert (await harness.case(family))["state"] == "asked"


async def test_dialling_again_starts_a_new_dialogue(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    dialogue = await menu(harness, family)
    await dialogue.reply("1")
    await dialogue.screen()
    await harness.status(family, "voucher_issued")


async def test_a_pssd_indication_gets_the_notice_to_reply_by_sms(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await harness.smsc.dial(family.number, op=PSSD_INDICATION)
    assert await dialogue.screen() == INVALID
    assert ops(harness) == [PSSD_RESPONSE]


@pytest.mark.parametrize("op", [2, 3, 16, 17, 19, 0x99])
async def test_an_sms_with_a_ussd_service_op_leaves_the_dialogue_open(harness: Harness, op: int) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    assert await dialogue.send(op, "1") == 0
    await dialogue.reply("1")
    await dialogue.screen()
    await harness.status(family, "voucher_issued")


async def test_ussd_input_is_never_read_as_an_sms_reply_nor_an_sms_as_ussd_input(
    harness: Harness,
) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await harness.smsc.reply(family.number, "1")  # by SMS: unclear
    await harness.text(family, "түсініксіз")
    assert (await harness.case(family))["state"] == "asked"
    await dialogue.reply("1 иә")  # on the screen: none of its answers
    assert await dialogue.screen() == MENU["kk"]
    assert (await harness.case(family))["state"] == "asked"


@pytest.mark.parametrize(("typed", "status"), [("3#1", "consented"), ("3#2", "refused"), ("«3#1»", "consented")])
async def test_the_whole_reply_typed_at_the_ussd_menu_counts_like_its_digit(
    harness: Harness, typed: str, status: str
) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply(typed, encoding="ucs2")
    await dialogue.screen()
    assert dialogue.ended
    await harness.status(family, status)


@pytest.mark.parametrize(("typed", "status"), [("1", "consented"), ("3#2", "refused")])
async def test_a_reply_dialled_as_a_code_is_that_of_the_open_ussd_dialogue(
    harness: Harness, typed: str, status: str
) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    again = await harness.smsc.dial(family.number, typed)  # op 1, in a session of its own
    await again.screen()
    assert again.ended
    await harness.status(family, status)


async def test_a_code_dialled_while_a_dialogue_is_open_shows_the_menu(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    await menu(harness, family, code="*1414*1#")
    assert (await harness.case(family))["state"] == "asked"


@pytest.mark.parametrize("op", [2, 3, 16, 17, 19, 32])
async def test_an_sms_with_a_stray_ussd_service_op_keeps_its_text(harness: Harness, op: int) -> None:
    await harness.start()
    family = await asked(harness)
    await harness.smsc.reply(family.number, "3#1", ussd_service_op=op)
    await harness.status(family, "consented")


@pytest.mark.parametrize(
    ("encoding", "data_coding"), [("gsm7", 0x0F), ("ucs2", 0x48), ("ucs2", 8), ("ascii", 1), ("gsm7", 0x44)]
)
async def test_a_digit_is_decoded_in_every_data_coding_of_ussd(
    harness: Harness, encoding: str, data_coding: int
) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("1", encoding=encoding, data_coding=data_coding)
    await dialogue.screen()
    await harness.status(family, "voucher_issued")


async def test_ussd_screens_are_sent_before_bulk(harness: Harness) -> None:
    family = Family(n=1)
    await harness.start(link={"tps": 20})
    await harness.ask(family)
    bulk = [Family(n=n) for n in range(2, 12)]
    await harness.push(*bulk)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > 2 * SEGMENTS)
    dialogue = await menu(harness, family)
    await dialogue.reply("2")
    await dialogue.screen()
    assert len(harness.smsc.submitted) < 5 * SEGMENTS


async def test_a_ussd_screen_requests_no_receipt_and_does_not_change_the_case(harness: Harness) -> None:
    await harness.start(link={"receipts": "all"})
    family = await asked(harness)
    await menu(harness, family)
    screen = harness.smsc.submitted[-1]
    assert (screen.registered_delivery, screen.service_type, screen.esm_class) == (0, "USSD", 0)
    await harness.journaled(family, "text_accepted", nth=2)
    assert await harness.connection.fetchval("SELECT tracked_segments FROM sms WHERE kind = 'menu'") == 0
    assert (await harness.case(family))["state"] == "asked"


async def test_a_ussd_screen_is_not_sent_once_its_dialogue_has_expired(harness: Harness) -> None:
    harness.set_policy(dialogue_lifetime_seconds=0.5)
    await harness.start()
    family = await asked(harness)
    throttled = harness.smsc.add("throttle first=1")
    await harness.smsc.dial(family.number)  # the link pauses for a second
    await harness.smsc.wait_for(lambda: throttled.fired)
    async with asyncio.timeout(10):
        while await harness.connection.fetchval("SELECT state FROM sms WHERE kind = 'menu'") != "cancelled":
            await harness.smsc.enquire()
    assert ops(harness) == [USSR_REQUEST]


async def test_expired_dialogues_are_deleted_and_their_screens_cancelled(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await harness.connection.execute("UPDATE dialogues SET expires_at = clock_timestamp()")
    await change_rows(
        harness.connection,
        """UPDATE sms SET state = 'queued', node = NULL, next_at = 'infinity', expires_at = clock_timestamp()
           WHERE kind = 'menu'""",
    )
    assert await dialogues.expire(harness.connection, FOREVER) == 2
    assert await harness.connection.fetchval("SELECT state FROM sms WHERE kind = 'menu'") == "cancelled"
    assert await harness.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'cancelled'") == 1
    await dialogue.reply("1")
    assert await dialogue.screen() == INVALID


async def test_a_ussd_screen_is_never_sent_through_a_fallback(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    await harness.stop()
    await nodes.join(harness.connection, "node", "node", ["kcell"])
    await change_rows(
        harness.connection,
        """UPDATE sms SET state = 'queued', node = NULL, next_at = '-infinity'
           WHERE kind IN ('menu', 'request')""",
    )
    claimed = await sms.claim(harness.connection, "node", "tele2", others=["kcell"], bulk=True, limit=9)
    assert [text.kind for text in claimed] == ["request"]
    claimed = await sms.claim(harness.connection, "node", "kcell", bulk=True, limit=9)
    assert [text.kind for text in claimed] == ["menu"]
