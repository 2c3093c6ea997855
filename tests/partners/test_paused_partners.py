"""A partner that fails for all is paused with a critical alert; no case is parked, and all go on afterwards."""

from typing import Any

import pytest

from gateway.config.policy import PartnerPolicy
from gateway.partners.responses import FailureKind
from gateway.simulators.partner import PartnerSimulator
from tests.harness import Family, Harness, metric

FOR_ALL = [
    (401, FailureKind.CREDENTIALS),
    (403, FailureKind.CREDENTIALS),
    (407, FailureKind.CREDENTIALS),
    (404, FailureKind.ADDRESS),
    (405, FailureKind.ADDRESS),
    (302, FailureKind.ADDRESS),
]
RUN = PartnerPolicy().max_invalid_responses


async def alerts(harness: Harness) -> list[tuple[str, str]]:
    """Level and text of the alerts about paused partners."""
    _, overview = await harness.request("GET", "/v1/overview")
    return [(alert["level"], alert["text"]) for alert in overview["alerts"] if alert["code"] == "partner_paused"]


async def assert_paused(harness: Harness, partner: PartnerSimulator, kind: str, why: str, words: str) -> None:
    """The partner gets one request at a time, and the overview says what to do."""
    failed = partner.failed
    partner.max_in_flight = 0
    await partner.wait_for(lambda: partner.failed >= failed + 3, within=10)
    assert partner.max_in_flight == 1
    assert metric("partner_paused", kind=kind, why=why) == 1
    ((level, text),) = await alerts(harness)
    assert level == "critical"
    assert words in text


async def parked(harness: Harness) -> int:
    number: int = await harness.connection.fetchval("SELECT count(*) FROM cases WHERE state = 'parked'")
    return number


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize(("status", "why"), FOR_ALL)
async def test_mcb_that_rejects_every_call_is_paused_and_parks_nothing(
    harness: Harness, status: int, why: FailureKind, batch: int
) -> None:
    harness.mcb.down(status=status)
    await harness.start(mcb={"batch": batch, "concurrency": 4})
    families = [Family(n=n) for n in range(1, 13)]
    await harness.push(*families)
    await harness.mcb.wait_for(lambda: harness.mcb.failed >= 4)
    await assert_paused(harness, harness.mcb, "lookup", why, "mcb.")
    assert await parked(harness) == 0
    harness.mcb.up()
    for family in families:
        await harness.status(family, "asked")
    assert await alerts(harness) == []
    assert metric("partner_paused", kind="lookup", why=why) == 0


@pytest.mark.parametrize(("status", "why"), FOR_ALL)
async def test_wallet_that_rejects_every_call_is_paused_and_parks_nothing(
    harness: Harness, status: int, why: FailureKind
) -> None:
    harness.wallet.down(status=status)
    await harness.start()
    families = [Family(n=n) for n in range(1, 4)]
    await harness.ask(*families)
    for family in families:
        await harness.smsc.reply(family.number, "3#1")
    await harness.wallet.wait_for(lambda: harness.wallet.failed >= 3)
    await assert_paused(harness, harness.wallet, "voucher", why, "wallet.")
    assert await parked(harness) == 0
    harness.wallet.up()
    for family in families:
        await harness.status(family, "voucher_issued")
    assert len(set(harness.wallet.keys)) == len(families)


@pytest.mark.parametrize(
    ("status", "why", "words"),
    [
        (401, FailureKind.CREDENTIALS, "sdu.token"),
        (308, FailureKind.ADDRESS, "sdu.url"),
        (413, FailureKind.TOO_LARGE, "even one"),
        (400, FailureKind.INVALID, "no contract"),
    ],
)
async def test_sdu_that_accepts_no_status_is_paused_and_gets_all_of_them_later(
    harness: Harness, status: int, why: FailureKind, words: str
) -> None:
    harness.sdu.down(status=status)
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.sdu.wait_for(lambda: harness.sdu.failed >= RUN, within=10)
    await assert_paused(harness, harness.sdu, "sdu", why, words)
    harness.sdu.up()
    await harness.status(family, "asked")
    assert harness.sdu.statuses(family.record_id) == ["received", "number_found", "asked"]
    assert await alerts(harness) == []


@pytest.mark.parametrize("status", [408, 425])
async def test_call_that_the_partner_had_no_time_for_is_retried(harness: Harness, status: int) -> None:
    harness.mcb.fail(status=status)
    harness.wallet.fail(status=status)
    harness.sdu.fail(status=status)
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "voucher_issued")
    assert "parked" not in await harness.events(family)


@pytest.mark.parametrize(
    "fault", [{"status": 200, "body": "<html>Sign in</html>"}, {"status": 400}, {"status": 418, "body": ""}]
)
@pytest.mark.parametrize("batch", [1, 50])
async def test_run_of_invalid_responses_pauses_the_mcb_instead_of_parking_every_case(
    harness: Harness, fault: dict[str, Any], batch: int
) -> None:
    harness.mcb.down(**fault)
    await harness.start(mcb={"batch": batch, "concurrency": 4})
    families = [Family(n=n) for n in range(1, RUN + 11)]
    await harness.push(*families)
    await harness.mcb.wait_for(lambda: harness.mcb.failed >= RUN)
    await assert_paused(harness, harness.mcb, "lookup", FailureKind.INVALID, "no contract")
    assert await parked(harness) == RUN - 1
    harness.mcb.up()
    released = 0
    for family in families:
        if (await harness.case(family))["state"] == "parked":
            assert (await harness.act(family, "release"))[0] == 200
            released += 1
    assert released == RUN - 1
    for family in families:
        await harness.status(family, "asked")
    assert await alerts(harness) == []


async def test_run_of_invalid_responses_pauses_the_wallet(harness: Harness) -> None:
    harness.set_policy(partners={"max_invalid_responses": 2})
    harness.wallet.down(status=201, body="{}")
    await harness.start()
    families = [Family(n=n) for n in range(1, 5)]
    await harness.ask(*families)
    for family in families:
        await harness.smsc.reply(family.number, "3#1")
    await harness.wallet.wait_for(lambda: harness.wallet.failed >= 2)
    await assert_paused(harness, harness.wallet, "voucher", FailureKind.INVALID, "no contract")
    assert await parked(harness) == 1
