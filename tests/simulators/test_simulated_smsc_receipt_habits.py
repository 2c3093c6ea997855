"""Receipts as SMSCs in the field write and request them, seen by smpplib's own client."""

import shlex

import pytest

from gateway.simulators.smsc import SmscSimulator
from tests.esme_client import BindEsme, Esme

FIRST = b"\x05\0\x03\x09\x02\x01A"
"""The first segment of two."""


async def submit_text(client: Esme, reference: int, *registered_delivery: int) -> None:
    """Submits a text of two segments with these registered_delivery."""
    for number, requested in enumerate(registered_delivery, start=1):
        octets = bytes((5, 0, 3, reference, 2, number)) + b"A"
        await client.submit_octets(octets, esm_class=0x40, registered_delivery=requested)


async def receipted_ids(smsc: SmscSimulator, client: Esme, *, submits: int) -> list[str]:
    """The message_ids of the receipts that come until a last text, without receipt, has its response."""
    (last,) = await client.submit("last", "77099999999")
    ids = []
    while (pdu := await client.read()).sequence != last or pdu.command == "deliver_sm":
        if pdu.command == "deliver_sm":
            ids.append(pdu.receipted_message_id.decode())
            await client.respond(pdu)
    assert len(smsc.submitted) == submits + 1
    return ids


async def test_receipts_can_have_the_addresses_of_the_submit(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered", habits="receipts_to_handset") as smsc:
        client = await esme(smsc)
        await client.submit("hello", registered_delivery=1)
        await client.read()
        receipt = await client.acknowledge()
        assert (receipt.source_addr, receipt.destination_addr) == (b"1414", b"77011234567")


async def test_the_text_of_a_receipt_can_repeat_the_octets_of_the_udh(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered form=text", habits="receipt_udh") as smsc:
        client = await esme(smsc)
        await client.submit_octets(FIRST, esm_class=0x40, registered_delivery=1)
        await client.read()
        receipt = await client.acknowledge()
        assert receipt.esm_class == 4
        assert receipt.short_message.endswith(b"text:" + FIRST)


async def test_the_text_of_a_receipt_can_be_in_ucs2(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered form=text", habits="receipt_ucs2 receipt_udh") as smsc:
        client = await esme(smsc)
        await client.submit_octets(FIRST, esm_class=0x40, registered_delivery=1)
        await client.read()
        receipt = await client.acknowledge()
        assert receipt.data_coding == 8
        text = receipt.short_message.decode("utf-16-be")
        assert text.startswith("id:100001 sub:001")
        assert text.endswith("text:" + FIRST.decode("latin-1"))


@pytest.mark.parametrize(
    ("states", "words", "state"),
    [
        ("undeliverable:FAILED:9", b"stat:FAILED", 9),
        ("undeliverable:NOT_DELIVERED", b"stat:NOT_DELIVERED", 5),
        ("delivered:RECEIVED,undeliverable:SKIPPED:0", b"stat:SKIPPED", 0),
    ],
)
async def test_a_receipt_has_the_vendors_words_for_states(
    esme: BindEsme, states: str, words: bytes, state: int
) -> None:
    async with SmscSimulator(receipts="undeliverable", habits=f"receipt_states={states}") as smsc:
        client = await esme(smsc)
        await client.submit("hello", registered_delivery=1)
        await client.read()
        receipt = await client.acknowledge()
        assert words in receipt.short_message
        assert receipt.message_state == state


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ('id="{id}" status:{stat}', b'id="100001" status:DELIVRD'),
        ("state:{stat} id={id} err:{err}", b"state:DELIVRD id=100001 err:000"),
    ],
)
async def test_a_receipt_is_written_as_the_vendor_writes_it_in_esm_class_0(
    esme: BindEsme, form: str, text: bytes
) -> None:
    habits = f"receipt_esm_class=0 receipt_text={shlex.quote(form)}"
    async with SmscSimulator(receipts="delivered form=text", habits=habits) as smsc:
        client = await esme(smsc)
        await client.submit("hello", registered_delivery=1)
        await client.read()
        receipt = await client.acknowledge()
        assert (receipt.esm_class, receipt.short_message) == (0, text)
        assert receipt.receipted_message_id is None


async def test_registered_delivery_counts_in_the_first_segment_only(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered", habits="receipts_per=first") as smsc:
        client = await esme(smsc)
        await submit_text(client, 7, 0, 1)
        await submit_text(client, 8, 1, 1)
        await client.submit("one segment", registered_delivery=1)
        assert await receipted_ids(smsc, client, submits=5) == ["100003", "100005"]


@pytest.mark.parametrize("requests", [(1, 1), (0, 1), (1, 0)])
async def test_a_joined_text_has_one_receipt_with_the_id_of_its_first_segment(
    esme: BindEsme, requests: tuple[int, int]
) -> None:
    async with SmscSimulator(receipts="delivered", habits="receipts_per=text") as smsc:
        client = await esme(smsc)
        await submit_text(client, 7, 0, 0)
        await submit_text(client, 8, *requests)
        await client.submit("one segment", registered_delivery=1)
        assert await receipted_ids(smsc, client, submits=5) == ["100003", "100005"]
