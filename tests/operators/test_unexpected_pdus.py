"""A flood of PDUs that fit no request: told in sums, and ended by a disconnection with backoff."""

import asyncio
import struct

import pytest
from structlog.testing import capture_logs

from gateway.operators.unexpected_pdus import UnexpectedPdus
from gateway.simulators.smsc import SmscSimulator
from gateway.smpp.session import UnexpectedPdu
from gateway.smpp.session_life import MAX_UNEXPECTED_PDUS
from tests.harness import WITHIN, Family, Harness, eventually, metric

UNKNOWN_COMMAND, STRAY_RESPONSE = 0x00FACADE, 0x80000004
UNBIND = struct.pack(">IIII", 16, 6, 0, 1)


async def test_unexpected_pdus_are_logged_at_once_and_then_in_sums() -> None:
    pdus = UnexpectedPdus("kcell", "smsc.example:2775", sum_seconds=0.05)
    with capture_logs() as logs:
        for command_id in range(1_000):
            pdus.note(UnexpectedPdu(command_id, "a request"))
        await eventually(lambda: len(logs) == 2)
        assert [(line["count"], line["link"]) for line in logs] == [(1, "kcell"), (999, "kcell")]
        assert "command_id=999" in logs[1]["what"]
        assert logs[0]["peer"] == "smsc.example:2775"
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        pdus.note(UnexpectedPdu(7, "a request"))
        await eventually(lambda: sum(line["count"] for line in logs) == 1_001)


@pytest.mark.parametrize("command_id", [UNKNOWN_COMMAND, STRAY_RESPONSE])
async def test_an_smsc_that_sends_only_unexpected_pdus_is_disconnected_and_another_link_is_served(
    harness: Harness, command_id: int
) -> None:
    """Its octets are far more than one session is given; the other operator's parent gets an answer meanwhile."""
    async with SmscSimulator(password="secret") as other:
        await _flood_beside(harness, other, command_id)


async def test_unbinds_that_an_smsc_repeats_are_told_in_sums_and_end_the_session(harness: Harness) -> None:
    """The response to a segment is held back, so that the session waits for it after the first unbind."""
    await harness.start()
    harness.smsc.add("no_answer")
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.message(family.number, containing="3#1", within=WITHIN)
    (hostile,) = harness.smsc.sessions
    with capture_logs() as logs:
        await harness.smsc.send_raw(UNBIND * (3 * MAX_UNEXPECTED_PDUS), via=hostile)
        await eventually(lambda: any(line.get("reason") == "unexpected_pdus" for line in logs))
    assert len([line for line in logs if line["event"] == "link_unbound_by_smsc"]) == 1
    assert len([line for line in logs if line["event"] == "link_unexpected_pdu"]) <= 2


async def _flood_beside(harness: Harness, other: SmscSimulator, command_id: int) -> None:
    await harness.launch(other_link={"name": "tele2", "port": other.port, "prefixes": ["707"]})
    await harness.smsc.bound(within=WITHIN)
    await other.bound(within=WITHIN)
    family = Family(n=1, mother="77070000001")
    await harness.push(family)
    await other.message(family.number, containing="3#1", within=WITHIN)
    (hostile,) = harness.smsc.sessions
    unexpected = metric("unexpected_pdus_total", link="kcell")
    flood = struct.pack(">IIII", 16, command_id, 0, 1) * (3 * MAX_UNEXPECTED_PDUS)
    with capture_logs() as logs:
        await harness.smsc.send_raw(flood, via=hostile)
        assert await other.reply(family.number, "3#1") == 0
        await eventually(lambda: any(line.get("reason") == "unexpected_pdus" for line in logs))
    await harness.status(family, "voucher_issued")
    assert metric("unexpected_pdus_total", link="kcell") == unexpected + MAX_UNEXPECTED_PDUS
    lines = [line for line in logs if line["event"] == "link_unexpected_pdu"]
    assert len(lines) <= 2
