"""A question answered on the telephone's screen: USSD over SMPP, between the gateway and a dialling telephone."""

import asyncio

import pytest
from fakes.ussd import OP as SERVICE_OP
from fakes.ussd import PSSD_INDICATION, PSSD_RESPONSE, PSSR_RESPONSE, SESSION, USSR_CONFIRM, USSR_REQUEST, Dialogue
from world import SEGMENTS, Family, World

from gateway.store import dialogues, nodes, sms

MENU = {
    "kk": "Балаңызға тегін тамақтануға келісесіз бе?\n1 - келісемін\n2 - бас тартамын",
    "ru": "Бесплатное питание для Вашего ребёнка?\n1 - согласие\n2 - отказ",
}
NOTHING = "Сізге қойылған ашық сұрақ жоқ."
INVALID = "Жауап түсініксіз. SMS жіберіңіз: 3#1 - келісу, 3#2 - бас тарту."


async def asked(world: World, n: int = 1, language: str = "kk") -> Family:
    family = Family(n=n, language=language)
    await world.ask(family)
    return family


def ops(world: World) -> list[int]:
    """ussd_service_op of every screen, in order."""
    return [s.tlvs[SERVICE_OP][0] for s in world.smsc.submitted if SERVICE_OP in s.tlvs]


async def menu(world: World, family: Family, **how: object) -> Dialogue:
    """A dialogue whose menu is on the screen."""
    dialogue = await world.smsc.dial(family.number, **how)  # type: ignore[arg-type]
    assert await dialogue.screen() == MENU[family.language]
    return dialogue


async def test_one_in_the_dialogue_is_a_consent_and_text_3_goes_by_sms(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    assert not dialogue.ended
    assert await dialogue.answer("1") == 0
    assert (await dialogue.screen()).startswith("Келісіміңіз қабылданды")
    assert dialogue.ended
    await world.text(family, "socwallet")
    await world.status(family, "voucher_issued")
    told = await world.status(family, "consented")
    assert told["detail"]["normalised"] is False
    assert ops(world) == [USSR_REQUEST, PSSR_RESPONSE]
    world.no_complaints()


async def test_two_in_the_dialogue_is_a_refusal_and_text_2_goes_by_sms(world: World) -> None:
    await world.start()
    family = await asked(world, language="ru")
    dialogue = await menu(world, family)
    await dialogue.answer("2")
    assert await dialogue.screen() == "Вы отказались от услуги."
    await world.text(family, "Вы отказались от услуги.")
    await world.status(family, "refused")
    world.no_complaints()


async def test_the_answer_is_kept_as_evidence(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    await dialogue.answer("1", encoding="ucs2")
    await dialogue.screen()
    case = await world.case(family)
    reply = await world.connection.fetchrow("SELECT * FROM replies WHERE case_id = $1", case["case_id"])
    assert (reply["octets"], reply["data_coding"], reply["verdict"]) == (b"\x001", 8, "agree")
    read = await world.journaled(family, "reply_read")
    assert read["ussd"] is True
    assert case["evidence"] == "sha256:" + read["reply"].rpartition(":")[2]
    shown = [detail for event, detail in await world.journal(family) if event == "text_queued"]
    assert [detail["text"] for detail in shown if detail["text"].startswith("menu")] == ["menu", "menu_agreed"]
    kept = await world.connection.fetchrow("SELECT body, template FROM sms WHERE kind = 'menu'")
    assert kept["body"] == MENU["kk"]
    name = await world.connection.fetchval("SELECT name FROM templates WHERE version = $1", kept["template"])
    assert name == "menu"


@pytest.mark.parametrize("session_info", [None, b"\x07\x00", b"\xff\xff", b"\x00\x01\x02\x03"])
async def test_the_session_id_is_echoed_as_it_came(world: World, session_info: bytes | None) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family, session_info=session_info)
    first = dialogue.session_info
    await dialogue.answer("1")
    await dialogue.screen()
    echoed = [s.tlvs[SESSION] for s in world.smsc.submitted if SERVICE_OP in s.tlvs]
    assert echoed == [first, dialogue.session_info]
    world.no_complaints()


@pytest.mark.parametrize("code", ["*1414*3#", "*1414#", "*1414*3*1#", "", "*1414*99#"])
async def test_whatever_is_dialled_opens_the_open_question(world: World, code: str) -> None:
    await world.start()
    family = await asked(world)
    await menu(world, family, code=code)


async def test_with_no_open_question_it_says_so_and_ends(world: World) -> None:
    await world.start()
    dialogue = await world.smsc.dial("77017654321")
    assert await dialogue.screen() == NOTHING
    assert dialogue.ended
    assert ops(world) == [PSSR_RESPONSE]
    await world.journaled(None, "reply_ignored")


async def test_an_answered_question_is_open_no_more_and_the_language_stays(world: World) -> None:
    await world.start()
    family = await asked(world, language="ru")
    await world.smsc.reply(family.number, "3#2")
    await world.status(family, "refused")
    dialogue = await world.smsc.dial(family.number)
    assert await dialogue.screen() == "Для Вас сейчас нет открытых вопросов."


async def test_a_question_that_has_not_left_cannot_be_answered_on_the_screen(world: World) -> None:
    await world.start()
    family = await asked(world)
    await world.connection.execute("UPDATE sms SET attempts = 0")  # as if nobody had taken it for sending yet
    dialogue = await world.smsc.dial(family.number)
    assert await dialogue.screen() == NOTHING


async def test_anything_else_shows_the_menu_once_more_then_ends(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    await dialogue.answer("3")
    assert await dialogue.screen() == MENU["kk"]
    await dialogue.answer("да")
    assert await dialogue.screen() == INVALID
    assert dialogue.ended
    assert ops(world) == [USSR_REQUEST, USSR_REQUEST, PSSR_RESPONSE]
    assert (await world.case(family))["state"] == "asked"
    assert len(world.smsc.inbox(family.number)) == 1  # no clarification by SMS


async def test_the_menu_shown_again_can_be_answered(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    await dialogue.answer("12")
    assert await dialogue.screen() == MENU["kk"]
    await dialogue.answer("2")
    await dialogue.screen()
    await world.status(family, "refused")


async def test_an_abort_ends_the_dialogue(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    assert await dialogue.abort() == 0
    await world.journaled(family, "dialogue_aborted")
    assert await world.connection.fetchval("SELECT count(*) FROM dialogues") == 0
    await dialogue.answer("1")  # too late
    assert (await world.case(family))["state"] == "asked"


async def test_a_dialogue_expires(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    left = await world.connection.fetchval("SELECT expires_at - clock_timestamp() FROM dialogues")
    assert 80 < left.total_seconds() <= dialogues.LASTS == 90
    await world.connection.execute("UPDATE dialogues SET expires_at = clock_timestamp()")
    await dialogue.answer("1")
    assert await dialogue.screen() == INVALID
    assert (await world.case(family))["state"] == "asked"


async def test_an_answer_counts_only_for_the_case_whose_menu_was_shown(world: World) -> None:
    """While the screen waits, the question is answered by SMS, and the sibling's goes out."""
    await world.start()
    first, second = (Family(n=n, mother="77010000001") for n in (1, 2))
    await world.push(first, second)
    await world.status(first, "asked")
    dialogue = await menu(world, first)
    await world.smsc.reply(first.number, "3#2")
    await world.status(second, "asked")
    await dialogue.answer("1")
    assert await dialogue.screen() == NOTHING
    await world.status(first, "late_reply")
    assert (await world.case(second))["state"] == "asked"


async def test_an_answer_from_another_number_or_session_counts_for_nobody(world: World) -> None:
    await world.start()
    family = await asked(world)
    await menu(world, family)
    stranger = await world.smsc.dial("77017654321", op=USSR_CONFIRM)
    assert await stranger.screen() == NOTHING
    late = await world.smsc.dial(family.number, "1", op=USSR_CONFIRM)
    assert await late.screen() == INVALID
    assert (await world.case(family))["state"] == "asked"


async def test_dialling_again_begins_anew(world: World) -> None:
    await world.start()
    family = await asked(world)
    await menu(world, family)
    dialogue = await menu(world, family)
    await dialogue.answer("1")
    await dialogue.screen()
    await world.status(family, "voucher_issued")


async def test_a_telephone_that_cannot_answer_is_told_to_write(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await world.smsc.dial(family.number, op=PSSD_INDICATION)
    assert await dialogue.screen() == INVALID
    assert ops(world) == [PSSD_RESPONSE]


@pytest.mark.parametrize("op", [2, 3, 16, 17, 19, 0x99])
async def test_a_strange_op_costs_only_itself(world: World, op: int) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    assert await dialogue.say(op, "1") == 0
    await dialogue.answer("1")
    await dialogue.screen()
    await world.status(family, "voucher_issued")


async def test_a_typed_digit_never_reaches_the_reader_of_replies_nor_a_reply_the_dialogue(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    await world.smsc.reply(family.number, "1")  # by SMS: unclear
    await world.text(family, "түсініксіз")
    assert (await world.case(family))["state"] == "asked"
    await dialogue.answer("3#1")  # on the screen: not one of the two digits
    assert await dialogue.screen() == MENU["kk"]
    assert (await world.case(family))["state"] == "asked"


@pytest.mark.parametrize(
    ("encoding", "data_coding"), [("gsm7", 0x0F), ("ucs2", 0x48), ("ucs2", 8), ("ascii", 1), ("gsm7", 0x44)]
)
async def test_a_digit_is_read_in_the_codings_of_ussd(world: World, encoding: str, data_coding: int) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    await dialogue.answer("1", encoding=encoding, data_coding=data_coding)
    await dialogue.screen()
    await world.status(family, "voucher_issued")


async def test_screens_overtake_bulk(world: World) -> None:
    family = Family(n=1)
    await world.start(link={"tps": 20})
    await world.ask(family)
    crowd = [Family(n=n) for n in range(2, 12)]
    await world.push(*crowd)
    await world.smsc.wait_for(lambda: len(world.smsc.submitted) > 2 * SEGMENTS)
    dialogue = await menu(world, family)
    await dialogue.answer("2")
    await dialogue.screen()
    assert len(world.smsc.submitted) < 5 * SEGMENTS


async def test_a_screen_asks_for_no_receipt_and_is_no_text_of_the_case(world: World) -> None:
    await world.start(link={"receipts": "all"})
    family = await asked(world)
    await menu(world, family)
    screen = world.smsc.submitted[-1]
    assert (screen.registered_delivery, screen.service_type, screen.esm_class) == (0, "USSD", 0)
    await world.journaled(family, "text_accepted", nth=2)
    assert await world.connection.fetchval("SELECT tracked FROM sms WHERE kind = 'menu'") == 0
    assert (await world.case(family))["state"] == "asked"


async def test_a_screen_that_is_gone_is_not_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.start()
    family = await asked(world)
    monkeypatch.setattr(dialogues, "LASTS", 0.5)
    throttled = world.smsc.add("throttle first=1")
    await world.smsc.dial(family.number)  # the link pauses for a second
    await world.smsc.wait_for(lambda: throttled.fired)
    async with asyncio.timeout(10):
        while await world.connection.fetchval("SELECT state FROM sms WHERE kind = 'menu'") != "cancelled":
            await world.smsc.enquire()
    assert ops(world) == [USSR_REQUEST]


async def test_what_is_over_is_forgotten(world: World) -> None:
    await world.start()
    family = await asked(world)
    dialogue = await menu(world, family)
    await world.connection.execute("UPDATE dialogues SET expires_at = clock_timestamp()")
    await world.connection.execute(
        "UPDATE sms SET state = 'queued', next_at = 'infinity', expires_at = clock_timestamp() WHERE kind = 'menu'"
    )
    assert await dialogues.expire(world.connection) == 2
    assert await world.connection.fetchval("SELECT state FROM sms WHERE kind = 'menu'") == "cancelled"
    assert await world.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'cancelled'") == 1
    await dialogue.answer("1")
    assert await dialogue.screen() == INVALID


async def test_a_screen_never_goes_through_a_fallback(world: World) -> None:
    await world.start()
    family = await asked(world)
    await menu(world, family)
    await world.stop()
    await nodes.enter(world.connection, "node", "node", ["kcell"])
    await world.connection.execute(
        "UPDATE sms SET state = 'queued', next_at = '-infinity' WHERE kind IN ('menu', 'request')"
    )
    taken = await sms.take(world.connection, "node", "tele2", others=["kcell"], bulk=True, limit=9)
    assert [text.kind for text in taken] == ["request"]
    taken = await sms.take(world.connection, "node", "kcell", bulk=True, limit=9)
    assert [text.kind for text in taken] == ["menu"]
