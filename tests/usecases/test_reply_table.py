"""Every row of the reply table, from the octets of a deliver_sm to the case, through a real session."""

import asyncio
import itertools
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

import pytest

from tests.harness import Family, Harness


class Row(NamedTuple):
    text: str
    verdict: str
    normalised: bool = False


AGREE = [
    "3#1", "3#1.", '"3#1"', "«3#1»", "(3#1)!", "3#1:)", "3 # 1", "3\u00a0#\u00a01", "3#\n1", "\ufeff3#1",
    "3\u200b#\u200b1", "3#1\n3#1",
]  # fmt: skip
AGREE_NORMALISED = [
    "3#1#", "３＃１", "٣#١", "3\ufe0f\u20e3#\ufe0f\u20e31\ufe0f\u20e3", "3№1", "3♯1", "З#1", "3#І", "3#I", "3#l",
    "3#|", "3#1 иә", "3#1, рахмет", "иә 3#1",
]  # fmt: skip
REFUSE = ["3#2", "3#2.", '"3#2"', "«3#2»", "(3#2)!", "3#2:)", "3 # 2", "3\u00a0#\u00a02", "\ufeff3#2", "3#2\n3#2"]
REFUSE_NORMALISED = ["3#2#", "３＃２", "٣#٢", "3№2", "3♯2", "З#2", "3#2 жоқ"]
UNCLEAR = [
    "3#1 3#2", "3#1 жоқ", "3#1 емес", "3#1 не согласен", "3#1?", "3#1 бірақ кейін", "3*1", "3-1", "3.1", "31",
    "3 1", "3H1", "Э#1", "3##1", "#3#1", "*3#1#", "3#12", "3#3", "3#", "3#один", "иә", "да", "ok", "+", "1", "жоқ",
    "нет", "2", "стоп",
]  # fmt: skip
OTHER = ["R 1 1", "5#1", "13#1", "1234", "12345678"]
EMPTY = ["", " ", "\u200b"]

ROWS = [
    *[Row(text, "agree") for text in AGREE],
    *[Row(text, "agree", True) for text in AGREE_NORMALISED],
    *[Row(text, "refuse") for text in REFUSE],
    *[Row(text, "refuse", True) for text in REFUSE_NORMALISED],
    *[Row(text, "unclear") for text in UNCLEAR],
    *[Row(text, "other") for text in OTHER],
    *[Row(text, "empty") for text in EMPTY],
]
OUTCOME = {
    "agree": "consented",
    "refuse": "refused",
    "unclear": "reply_unclear",
    "other": "reply_other",
    "empty": "reply_ignored",
}
NEXT_TEXT = {"agree": "agreed", "refuse": "refused", "unclear": "clarify", "other": None, "empty": None}


class Result(NamedTuple):
    verdict: str
    normalised: bool
    outcome: str
    next_text: str | None


async def result_of(harness: Harness, family: Family) -> Result:
    entries = await harness.journal(family)
    events = [event for event, _ in entries]
    reading = next(detail for event, detail in entries if event == "reply_read")
    (outcome,) = set(events) & {*OUTCOME.values()}
    texts = [detail["text"] for event, detail in entries if event == "text_queued"]
    return Result(reading["verdict"], reading["normalised"], outcome, texts[1] if len(texts) > 1 else None)


async def ask_each(harness: Harness, rows: Sequence[Row], **how: Any) -> dict[str, Result]:
    """The result of each row's reply, by its text. Every reply comes from its own number, all at once."""
    families = [Family(n=n) for n in range(1, len(rows) + 1)]
    await harness.ask(*families)
    replies = [
        harness.smsc.reply(family.number, row.text, **how) for family, row in zip(families, rows, strict=True)
    ]
    return await read_each(harness, rows, families, replies)


async def read_each(
    harness: Harness, rows: Sequence[Row], families: Sequence[Family], replies: Sequence[Awaitable[int]]
) -> dict[str, Result]:
    assert set(await asyncio.gather(*replies)) == {0}
    harness.no_complaints()
    return {row.text: await result_of(harness, family) for family, row in zip(families, rows, strict=True)}


def halves(text: str) -> list[str]:
    """The text as two segments, cut in the middle."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def expected(rows: Sequence[Row]) -> dict[str, Result]:
    return {
        row.text: Result(row.verdict, row.normalised, OUTCOME[row.verdict], NEXT_TEXT[row.verdict]) for row in rows
    }


@pytest.mark.parametrize("encoding", ["auto", "ucs2"])
async def test_each_reply_has_the_verdict_of_the_reply_table(harness: Harness, encoding: str) -> None:
    """`auto` is GSM 03.38 if it has all letters of the text, else UCS-2."""
    await harness.start()
    assert await ask_each(harness, ROWS, encoding=encoding) == expected(ROWS)


async def test_each_reply_in_two_segments_has_the_verdict_of_the_reply_table(harness: Harness) -> None:
    rows = [row for row in ROWS if len(row.text) > 1]
    families = [Family(n=n) for n in range(1, len(rows) + 1)]
    await harness.start()
    await harness.ask(*families)
    forms = itertools.cycle(("udh8", "udh16", "sar"))
    replies = [
        harness.smsc.reply(family.number, halves(row.text), encoding="ucs2", long=form)
        for family, row, form in zip(families, rows, forms, strict=False)
    ]
    assert await read_each(harness, rows, families, replies) == expected(rows)


async def test_with_strict_replies_a_normalised_reply_is_unclear(harness: Harness) -> None:
    rows = [row for row in ROWS if row.normalised]
    await harness.start(replies={"strict": True})
    assert await ask_each(harness, rows) == expected([Row(row.text, "unclear") for row in rows])


CODINGS = [
    (b"3#1", 0), (b"3#1", 1), (b"3#1", 3), (b"3#1", 6), (b"3#1", 4), ("3#1".encode("utf-16-be"), 8),
    (b"3#1", 0xC0), (b"3#1", 0xD0), (b"3#1", 0xF0), (b"3#1", 0xF3), ("З#1".encode("iso8859-5"), 6),
]  # fmt: skip


async def test_a_consent_counts_in_every_data_coding(harness: Harness) -> None:
    await harness.start()
    families = [Family(n=n) for n in range(1, len(CODINGS) + 1)]
    await harness.ask(*families)
    for family, (octets, data_coding) in zip(families, CODINGS, strict=True):
        await harness.smsc.reply(family.number, octets=octets, data_coding=data_coding)
    uncounted = [
        coding
        for family, coding in zip(families, CODINGS, strict=True)
        if "consented" not in await harness.events(family)
    ]
    assert uncounted == []


async def test_a_reply_from_a_number_that_was_never_asked_is_ignored_and_journaled(harness: Harness) -> None:
    await harness.start()
    assert await harness.smsc.reply("77017654321", "3#1") == 0
    assert await harness.events(None) == ["reply_read", "reply_ignored"]
    assert harness.smsc.inbox("77017654321") == []
