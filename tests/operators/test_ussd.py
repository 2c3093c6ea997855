"""A question answered on the telephone's screen: USSD over SMPP, between the gateway and a dialling telephone."""

import asyncio

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
from tests.harness import SEGMENTS, Family, Harness

PSSD_INDICATION = 0  # ussd_service_op (SMPP 3.4 §5.3.2.44)

MENU = {
    "kk": "Балаңызға тегін тамақтануға келісесіз бе?\n1 - келісемін\n2 - бас тартамын",
    "ru": "Бесплатное питание для Вашего ребёнка?\n1 - согласие\n2 - отказ",
}
NOTHING = "Сізге қойылған ашық сұрақ жоқ."
INVALID = "Жауап түсініксіз. SMS жіберіңіз: 3#1 - келісу, 3#2 - бас тарту."


async def asked(harness: Harness, n: int = 1, language: str = "kk") -> Family:
    family = Family(n=n, language=language)
    await harness.ask(family)
    return family


def ops(harness: Harness) -> list[int]:
    """ussd_service_op of every screen, in order."""
    return [s.tlvs[SERVICE_OP][0] for s in harness.smsc.submitted if SERVICE_OP in s.tlvs]


async def menu(harness: Harness, family: Family, **how: object) -> Dialogue:
    """A dialogue whose menu is on the screen."""
    dialogue = await harness.smsc.dial(family.number, **how)  # type: ignore[arg-type]
    assert await dialogue.screen() == MENU[family.language]
    return dialogue


async def test_one_in_the_dialogue_is_a_consent_and_text_3_goes_by_sms(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    assert not dialogue.ended
    assert await dialogue.reply("1") == 0
    assert (await dialogue.screen()).startswith("Келісіміңіз қабылданды")
    assert dialogue.ended
    await harness.text(family, "socwallet")
    await harness.status(family, "voucher_issued")
    told = await harness.status(family, "consented")
    assert told["detail"]["normalised"] is False
    assert ops(harness) == [USSR_REQUEST, PSSR_RESPONSE]
    harness.no_complaints()


async def test_two_in_the_dialogue_is_a_refusal_and_text_2_goes_by_sms(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness, language="ru")
    dialogue = await menu(harness, family)
    await dialogue.reply("2")
    assert await dialogue.screen() == "Вы отказались от услуги."
    await harness.text(family, "Вы отказались от услуги.")
    await harness.status(family, "refused")
    harness.no_complaints()


async def test_the_answer_is_kept_as_evidence(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("1", encoding="ucs2")
    await dialogue.screen()
    case = await harness.case(family)
    reply = await harness.connection.fetchrow("SELECT * FROM replies WHERE case_id = $1", case["case_id"])
    assert (reply["octets"], reply["data_coding"], reply["verdict"]) == (b"\x001", 8, "agree")
    read = await harness.journaled(family, "reply_read")
    assert read["ussd"] is True
    assert case["evidence"] == "sha256:" + read["reply"].rpartition(":")[2]
    shown = [detail for event, detail in await harness.journal(family) if event == "text_queued"]
    assert [detail["text"] for detail in shown if detail["text"].startswith("menu")] == ["menu", "menu_agreed"]
    kept = await harness.connection.fetchrow("SELECT body, template FROM sms WHERE kind = 'menu'")
    assert kept["body"] == MENU["kk"]
    name = await harness.connection.fetchval("SELECT name FROM templates WHERE version = $1", kept["template"])
    assert name == "menu"


@pytest.mark.parametrize("session_info", [None, b"\x07\x00", b"\xff\xff", b"\x00\x01\x02\x03"])
async def test_the_session_id_is_echoed_as_it_came(harness: Harness, session_info: bytes | None) -> None:
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
async def test_whatever_is_dialled_opens_the_open_question(harness: Harness, code: str) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family, code=code)


async def test_with_no_open_question_it_says_so_and_ends(harness: Harness) -> None:
    await harness.start()
    dialogue = await harness.smsc.dial("77017654321")
    assert await dialogue.screen() == NOTHING
    assert dialogue.ended
    assert ops(harness) == [PSSR_RESPONSE]
    await harness.journaled(None, "reply_ignored")


async def test_an_answered_question_is_open_no_more_and_the_language_stays(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness, language="ru")
    await harness.smsc.reply(family.number, "3#2")
    await harness.status(family, "refused")
    dialogue = await harness.smsc.dial(family.number)
    assert await dialogue.screen() == "Для Вас сейчас нет открытых вопросов."


async def test_a_question_that_has_not_left_cannot_be_answered_on_the_screen(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await harness.connection.execute("UPDATE sms SET attempts = 0")  # as if nobody had taken it for sending yet
    dialogue = await harness.smsc.dial(family.number)
    assert await dialogue.screen() == NOTHING


async def test_anything_else_shows_the_menu_once_more_then_ends(harness: Harness) -> None:
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


async def test_the_menu_shown_again_can_be_answered(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("12")
    assert await dialogue.screen() == MENU["kk"]
    await dialogue.reply("2")
    await dialogue.screen()
    await harness.status(family, "refused")


async def test_an_abort_ends_the_dialogue(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    assert await dialogue.abort() == 0
    await harness.journaled(family, "dialogue_aborted")
    assert await harness.connection.fetchval("SELECT count(*) FROM dialogues") == 0
    await dialogue.reply("1")  # too late
    assert (await harness.case(family))["state"] == "asked"


async def test_a_dialogue_expires(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    left = await harness.connection.fetchval("SELECT expires_at - clock_timestamp() FROM dialogues")
    assert 80 < left.total_seconds() <= dialogues.DIALOGUE_LIFETIME_SECONDS == 90
    await harness.connection.execute("UPDATE dialogues SET expires_at = clock_timestamp()")
    await dialogue.reply("1")
    assert await dialogue.screen() == INVALID
    assert (await harness.case(family))["state"] == "asked"


async def test_an_answer_counts_only_for_the_case_whose_menu_was_shown(harness: Harness) -> None:
    """While the screen waits, the question is answered by SMS, and the sibling's goes out."""
    await harness.start()
    first, second = (Family(n=n, mother="77010000001") for n in (1, 2))
    await harness.push(first, second)
    await harness.status(first, "asked")
    dialogue = await menu(harness, first)
    await harness.smsc.reply(first.number, "3#2")
    await harness.status(second, "asked")
    await dialogue.reply("1")
    assert await dialogue.screen() == NOTHING
    await harness.status(first, "late_reply")
    assert (await harness.case(second))["state"] == "asked"


async def test_an_answer_from_another_number_or_session_counts_for_nobody(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    stranger = await harness.smsc.dial("77017654321", op=USSR_CONFIRM)
    assert await stranger.screen() == NOTHING
    late = await harness.smsc.dial(family.number, "1", op=USSR_CONFIRM)
    assert await late.screen() == INVALID
    assert (await harness.case(family))["state"] == "asked"


async def test_dialling_again_begins_anew(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    dialogue = await menu(harness, family)
    await dialogue.reply("1")
    await dialogue.screen()
    await harness.status(family, "voucher_issued")


async def test_a_telephone_that_cannot_answer_is_told_to_write(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await harness.smsc.dial(family.number, op=PSSD_INDICATION)
    assert await dialogue.screen() == INVALID
    assert ops(harness) == [PSSD_RESPONSE]


@pytest.mark.parametrize("op", [2, 3, 16, 17, 19, 0x99])
async def test_a_strange_op_costs_only_itself(harness: Harness, op: int) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    assert await dialogue.send(op, "1") == 0
    await dialogue.reply("1")
    await dialogue.screen()
    await harness.status(family, "voucher_issued")


async def test_a_typed_digit_never_reaches_the_reader_of_replies_nor_a_reply_the_dialogue(
    harness: Harness,
) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await harness.smsc.reply(family.number, "1")  # by SMS: unclear
    await harness.text(family, "түсініксіз")
    assert (await harness.case(family))["state"] == "asked"
    await dialogue.reply("3#1")  # on the screen: not one of the two digits
    assert await dialogue.screen() == MENU["kk"]
    assert (await harness.case(family))["state"] == "asked"


@pytest.mark.parametrize(
    ("encoding", "data_coding"), [("gsm7", 0x0F), ("ucs2", 0x48), ("ucs2", 8), ("ascii", 1), ("gsm7", 0x44)]
)
async def test_a_digit_is_read_in_the_codings_of_ussd(harness: Harness, encoding: str, data_coding: int) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await dialogue.reply("1", encoding=encoding, data_coding=data_coding)
    await dialogue.screen()
    await harness.status(family, "voucher_issued")


async def test_screens_overtake_bulk(harness: Harness) -> None:
    family = Family(n=1)
    await harness.start(link={"tps": 20})
    await harness.ask(family)
    crowd = [Family(n=n) for n in range(2, 12)]
    await harness.push(*crowd)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > 2 * SEGMENTS)
    dialogue = await menu(harness, family)
    await dialogue.reply("2")
    await dialogue.screen()
    assert len(harness.smsc.submitted) < 5 * SEGMENTS


async def test_a_screen_asks_for_no_receipt_and_is_no_text_of_the_case(harness: Harness) -> None:
    await harness.start(link={"receipts": "all"})
    family = await asked(harness)
    await menu(harness, family)
    screen = harness.smsc.submitted[-1]
    assert (screen.registered_delivery, screen.service_type, screen.esm_class) == (0, "USSD", 0)
    await harness.journaled(family, "text_accepted", nth=2)
    assert await harness.connection.fetchval("SELECT tracked_segments FROM sms WHERE kind = 'menu'") == 0
    assert (await harness.case(family))["state"] == "asked"


async def test_a_screen_that_is_gone_is_not_sent_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.start()
    family = await asked(harness)
    monkeypatch.setattr(dialogues, "DIALOGUE_LIFETIME_SECONDS", 0.5)
    throttled = harness.smsc.add("throttle first=1")
    await harness.smsc.dial(family.number)  # the link pauses for a second
    await harness.smsc.wait_for(lambda: throttled.fired)
    async with asyncio.timeout(10):
        while await harness.connection.fetchval("SELECT state FROM sms WHERE kind = 'menu'") != "cancelled":
            await harness.smsc.enquire()
    assert ops(harness) == [USSR_REQUEST]


async def test_what_is_over_is_forgotten(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    dialogue = await menu(harness, family)
    await harness.connection.execute("UPDATE dialogues SET expires_at = clock_timestamp()")
    await harness.connection.execute(
        """UPDATE sms SET state = 'queued', node = NULL, next_at = 'infinity', expires_at = clock_timestamp()
           WHERE kind = 'menu'"""
    )
    assert await dialogues.expire(harness.connection) == 2
    assert await harness.connection.fetchval("SELECT state FROM sms WHERE kind = 'menu'") == "cancelled"
    assert await harness.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'cancelled'") == 1
    await dialogue.reply("1")
    assert await dialogue.screen() == INVALID


async def test_a_screen_never_goes_through_a_fallback(harness: Harness) -> None:
    await harness.start()
    family = await asked(harness)
    await menu(harness, family)
    await harness.stop()
    await nodes.join(harness.connection, "node", "node", ["kcell"])
    await harness.connection.execute(
        """UPDATE sms SET state = 'queued', node = NULL, next_at = '-infinity'
           WHERE kind IN ('menu', 'request')"""
    )
    taken = await sms.claim(harness.connection, "node", "tele2", others=["kcell"], bulk=True, limit=9)
    assert [text.kind for text in taken] == ["request"]
    taken = await sms.claim(harness.connection, "node", "kcell", bulk=True, limit=9)
    assert [text.kind for text in taken] == ["menu"]
