"""deliver_sm and data_sm: stored before the response, and read in every form they may have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from smpplib import consts

from tests.harness import Family, Harness, metric


@asynccontextmanager
async def database_away(harness: Harness) -> AsyncIterator[None]:
    """The test's database refuses connections and has ended them, as during a restart of its server."""
    name = await harness.connection.fetchval("SELECT current_database()")
    admin = await asyncpg.connect(harness.database_url.replace(f"/{name}?", "/postgres?"))
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2",
        name,
        harness.connection.get_server_pid(),
    )
    try:
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def test_deliver_sm_resp_is_sent_only_after_the_reply_is_committed(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    async with harness.connection.transaction():
        await harness.connection.execute("SELECT FROM cases FOR UPDATE")
        reply = asyncio.create_task(harness.smsc.reply(family.number, "3#1"))
        for _ in range(3):  # the session is alive, and the deliver_sm has no response
            await harness.smsc.enquire()
        assert not reply.done()
        assert await harness.connection.fetchval("SELECT count(*) FROM replies") == 0
    assert await reply == 0
    assert "consented" in await harness.events(family)


async def test_a_reply_that_cannot_be_stored_gets_rx_t_appn_and_is_delivered_again(harness: Harness) -> None:
    before = metric("inbound_not_stored_total", link="kcell")
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    async with database_away(harness):
        assert await harness.smsc.reply(family.number, "3#1") == consts.SMPP_ESME_RX_T_APPN
    assert metric("inbound_not_stored_total", link="kcell") == before + 1
    assert await harness.smsc.reply(family.number, "3#1", until_accepted=True) == 0
    await harness.status(family, "voucher_issued")
    await harness.text(family, "socwallet")
    assert len(harness.smsc.connections) == 1


@pytest.mark.parametrize("command_status", [0x08, 0x58])
async def test_a_reply_that_cannot_be_stored_gets_the_status_after_which_the_smsc_delivers_again(
    harness: Harness, command_status: int
) -> None:
    await harness.start(link={"defer_status": command_status})
    family = Family(n=1)
    await harness.ask(family)
    async with database_away(harness):
        assert await harness.smsc.reply(family.number, "3#1") == command_status
    assert await harness.smsc.reply(family.number, "3#1", until_accepted=True) == 0
    await harness.status(family, "voucher_issued")


async def test_a_text_being_sent_while_the_database_is_away_is_sent_once(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.05")
    await harness.start(link={"window": 1})
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 3)
    async with database_away(harness):
        await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 6)
    await harness.status(family, "asked")
    assert harness.smsc.inbox(family.number)[0].repeated == 0


@pytest.mark.parametrize(
    "how",
    [
        {"as_data_sm": True},
        {"payload": True},
        {"payload": True, "encoding": "ucs2"},
        {"split": 1},
        {"esm_class": 0x08},
        {"esm_class": 0x10},
        {"esm_class": 0x18},
        {"esm_class": 0x80},
        {"tlvs": {"sc_interface_version": b"\x34", 0x1400: b"", 0x3FFF: b"\xff" * 300}},
        {"tlvs": {"receipted_message_id": b""}},
        {"service_type": "CMT", "priority_flag": 3, "protocol_id": 0x7F, "validity_period": "invalid"},
        {"to": "77710001414"},
    ],
    ids=str,
)
async def test_a_reply_counts_in_every_form_of_deliver_sm_and_data_sm(
    harness: Harness, how: dict[str, Any]
) -> None:
    await harness.start(link={"accept_destinations": ["77710001414"]})
    family = Family(n=1)
    await harness.ask(family)
    assert await harness.smsc.reply(family.number, "3#1", **how) == 0
    assert "consented" in await harness.events(family)
    assert len(harness.smsc.connections) == 1


async def test_every_spelling_of_source_addr_is_one_msisdn(harness: Harness) -> None:
    await harness.start()
    spellings = {
        "+77010000001": (1, 1), "87010000002": (2, 1), "7010000003": (0, 0), "0077010000004": (2, 9),
        "81077010000005": (255, 255), "77010000006": (0, 1),
    }  # fmt: skip
    families = [Family(n=n) for n in range(1, len(spellings) + 1)]
    await harness.ask(*families)
    for sender, (ton, npi) in spellings.items():
        await harness.smsc.reply(sender, "3#1", source_addr_ton=ton, source_addr_npi=npi)
    for family in families:
        assert "consented" in await harness.events(family), family.number


@pytest.mark.parametrize("long", ["udh8", "udh16", "sar"])
async def test_a_long_reply_is_joined_from_segments_in_any_order_with_duplicates(
    harness: Harness, long: str
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    order = [2, 3, 3, 1, 2, 1]
    assert await harness.smsc.reply(family.number, ["3", "#", "1"], long=long, order=order, encoding="ucs2") == 0
    events = await harness.events(family)
    assert (events.count("reply_read"), events.count("consented")) == (1, 1)


async def test_long_replies_of_two_numbers_with_one_reference_are_two_replies(harness: Harness) -> None:
    await harness.start()
    agreeing, refusing = Family(n=1), Family(n=2)
    await harness.ask(agreeing, refusing)
    for order in ([1], [2]):
        await harness.smsc.reply(agreeing.number, ["3#", "1"], reference=7, order=order)
        await harness.smsc.reply(refusing.number, ["3#", "2"], reference=7, order=order)
    assert "consented" in await harness.events(agreeing)
    assert "refused" in await harness.events(refusing)


async def test_a_reused_segment_reference_is_another_reply(harness: Harness) -> None:
    """Handsets wrap their references at 255; some always use the same one."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["кім", " бұл"], reference=9)
    await harness.smsc.reply(family.number, ["3#", "1"], reference=9, encoding="ucs2")
    assert "consented" in await harness.events(family)


async def test_segments_of_two_replies_with_one_reference_are_never_joined(harness: Harness) -> None:
    """The last segment of the first was lost: it is read incomplete when the second uses its reference."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["3#", "2 жоқ"], reference=9, order=[1], encoding="ucs2")
    await harness.smsc.reply(family.number, ["3#1 ", "иә"], reference=9, order=[1, 2], encoding="ucs2")
    events = await harness.events(family)
    assert (events.count("reply_read"), events.count("reply_unclear")) == (2, 1)
    assert "consented" in events
    assert await harness.smsc.reply(family.number, ["3#1 ", "иә"], reference=9, encoding="ucs2") == 0
    assert (await harness.events(family)).count("reply_read") == 2


async def test_octets_that_do_not_decode_are_kept_and_unclear(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    octets = b"\xd8\x00\x00\x33\xff"
    assert await harness.smsc.reply(family.number, octets=octets, data_coding=8) == 0
    kept = await harness.connection.fetchrow("SELECT octets, data_coding, verdict FROM replies")
    assert kept is not None
    assert (bytes(kept["octets"]), kept["data_coding"], kept["verdict"]) == (octets, 8, "unclear")
    assert "reply_unclear" in await harness.events(family)


@pytest.mark.parametrize("octets", [b"3#1\0", [b"3#\0", b"1\0"]], ids=["single", "segments"])
async def test_a_final_nul_is_kept_with_the_octets_of_a_reply_that_is_delivered_twice(
    harness: Harness, octets: bytes | list[bytes]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    for _ in range(2):
        assert await harness.smsc.reply(family.number, octets=octets, reference=7) == 0
    kept = await harness.connection.fetch("SELECT octets, verdict FROM replies")
    assert [(bytes(row["octets"]), row["verdict"]) for row in kept] == [(b"3#1\0", "agree")]


@pytest.mark.parametrize(
    ("alphabet", "encoding"), [("packed", "packed"), ("ascii", "ascii"), ("latin1", "latin1"), ("gsm7", "gsm7")]
)
async def test_data_coding_0_is_decoded_with_the_default_alphabet_of_the_link(
    harness: Harness, alphabet: str, encoding: str
) -> None:
    await harness.start(link={"default_alphabet": alphabet})
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#1 ok", encoding=encoding, data_coding=0)
    assert "consented" in await harness.events(family)


async def test_hundreds_of_concurrent_replies_are_all_stored(harness: Harness) -> None:
    await harness.start()
    families = [Family(n=n) for n in range(1, 101)]
    await harness.ask(*families)
    replies = [harness.smsc.reply(family.number, "3#1") for family in families for _ in range(3)]
    assert set(await asyncio.gather(*replies)) == {0}
    for family in families:
        await harness.status(family, "voucher_issued")
    assert len(harness.wallet.vouchers) == 100
    acknowledged = "SELECT count(*) + sum(redelivered) FROM replies"
    assert await harness.connection.fetchval(acknowledged) == 300, "each is a row, or counted in one"
    harness.no_complaints()
