"""Responses of the MCB and the wallet, valid and invalid, and what they mean for the cases."""

from typing import Any, NamedTuple

import pytest

from gateway.backoff import Backoff
from gateway.consent.identity import mask_iin
from gateway.partners import responses
from gateway.simulators.partner import Fault
from tests.harness import Family, Harness, metric


class InvalidBody(NamedTuple):
    status: int
    body: bytes | str
    content_type: str = "application/json"


NO_JSON_OBJECT = {
    "an empty body": InvalidBody(200, b""),
    "an HTML page": InvalidBody(200, "<html>Service</html>", "text/html"),
    "half an object": InvalidBody(200, '{"found": tr'),
    "an array": InvalidBody(200, "[]"),
    "a number": InvalidBody(200, "42"),
    "null": InvalidBody(200, "null"),
    "invalid UTF-8": InvalidBody(200, b'{"found": "\xff"}'),
    "400": InvalidBody(400, '{"title": "Bad Request"}'),
    "too large, with one record": InvalidBody(413, ""),
    "an object nested 100,000 deep": InvalidBody(200, b'{"a":' * 100_000),
}
MEGABYTES = "x" * responses.MAX_RESPONSE_BYTES
INVALID_FOR_MCB = {
    "megabytes": InvalidBody(200, f'{{"found": false, "more": "{MEGABYTES}"}}'),
    "an empty object": InvalidBody(200, "{}"),
    "found as a string": InvalidBody(200, '{"found": "yes", "msisdn": "+77011234567"}'),
    "found and null": InvalidBody(200, '{"found": null}'),
    "found without a number": InvalidBody(200, '{"found": true}'),
    "an msisdn that is a JSON number": InvalidBody(200, '{"found": true, "msisdn": 77011234567}'),
    "201": InvalidBody(201, '{"found": false}'),
    "204": InvalidBody(204, ""),
}
INVALID_FOR_WALLET = {
    "megabytes": InvalidBody(201, f'{{"voucher_id": "V-1", "more": "{MEGABYTES}"}}'),
    "no voucher": InvalidBody(201, "{}"),
    "an empty voucher_id": InvalidBody(201, '{"voucher_id": ""}'),
    "a voucher_id that is a number": InvalidBody(200, '{"voucher_id": 7}'),
    "a voucher_id with a NUL character": InvalidBody(201, '{"voucher_id": "V\\u0000"}'),
    "a voucher_id of 1,000 characters": InvalidBody(201, '{"voucher_id": "' + 1000 * "V" + '"}'),
    "a conflict without a voucher": InvalidBody(409, '{"title": "exists"}'),
    "204": InvalidBody(204, ""),
    "410": InvalidBody(410, ""),
}


async def test_invalid_response_of_the_mcb_parks_the_case_until_it_is_released(harness: Harness) -> None:
    await harness.start(journey={"clarify": False})
    invalid = NO_JSON_OBJECT | INVALID_FOR_MCB
    families = [Family(n=n, mother=f"7701{n:07d}", father=None) for n in range(1, len(invalid) + 1)]
    for family, answer in zip(families, invalid.values(), strict=True):
        harness.mcb.fail(containing=family.people[0][1], **answer._asdict())
    await harness.push(*families)
    reasons = {}
    for family, name in zip(families, invalid, strict=True):
        reasons[name] = (await harness.journaled(family, "parked"))["reason"]
        assert (await harness.case(family))["state"] == "parked"
    assert all(reason.startswith("mcb: ") for reason in reasons.values()), reasons
    status, answer = await harness.request("GET", "/v1/lists/list-1")
    assert (status, answer["progress"]["parked"]) == (200, len(families))
    for family in families:
        assert (await harness.act(family, "release"))[0] == 200
    for family in families:
        assert (await harness.status(family, "asked"))["detail"] == {"relation": "mother"}
    harness.no_complaints()


async def test_invalid_response_of_the_wallet_parks_the_case_and_release_repeats_the_same_key(
    harness: Harness,
) -> None:
    await harness.start()
    invalid = NO_JSON_OBJECT | INVALID_FOR_WALLET
    families = [Family(n=n) for n in range(1, len(invalid) + 1)]
    await harness.ask(*families)
    for family, answer in zip(families, invalid.values(), strict=True):
        harness.wallet.fail(containing=family.pupil_iin, **answer._asdict())
        await harness.smsc.reply(family.number, "3#1")
    for family in families:
        assert (await harness.journaled(family, "parked"))["reason"].startswith("wallet: ")
        assert (await harness.act(family, "release"))[0] == 200
    for family in families:
        await harness.status(family, "voucher_issued")
    assert len(harness.wallet.keys) == 2 * len(families)
    assert len(set(harness.wallet.keys)) == len(families)
    harness.no_complaints()


async def test_operator_with_a_nul_character_counts_as_unknown(harness: Harness) -> None:
    await harness.start()
    families = [Family(n=1), Family(n=2)]
    result = {"found": True, "msisdn": f"+{families[0].number}", "operator": "k\0"}
    harness.know(families)
    harness.mcb.overrides[families[0].people[0][1]] = result
    await harness.put([family.record() for family in families])
    for family in families:
        await harness.status(family, "asked")


async def fail_twice(harness: Harness, fault: Fault) -> None:
    """Makes the MCB fail so, and waits for two such calls."""
    failed = harness.mcb.failed
    harness.mcb.down(status=fault.status, cut=fault.cut, hang=fault.hang)
    await harness.mcb.wait_for(lambda: harness.mcb.failed > failed + 1, within=10)


@pytest.mark.parametrize("batch", [1, 10])
async def test_outage_of_the_mcb_ends_no_case_and_skips_no_recipient(harness: Harness, batch: int) -> None:
    before = metric("calls_total", kind="lookup", outcome="retry")
    harness.mcb.down()
    await harness.start(mcb={"batch": batch, "timeout": "200ms"})
    families = [Family(n=n, mother=f"7701{n:07d}", father="77020000001") for n in range(1, 4)]
    await harness.push(*families)
    for fault in (Fault(status=503), Fault(status=500), Fault(status=429), Fault(cut=True), Fault(hang=True)):
        await fail_twice(harness, fault)
    await harness.mcb.stop()
    assert {(await harness.case(family))["state"] for family in families} == {"looking_up"}
    harness.mcb.up()
    await harness.mcb.start()
    for family in families:
        assert (await harness.status(family, "asked"))["detail"] == {"relation": "mother"}
    fathers = [person[1] for family in families for person in family.people if person[0] == "father"]
    assert not any(father.encode() in call.raw for call in harness.mcb.calls for father in fathers)
    assert metric("calls_total", kind="lookup", outcome="retry") > before


async def test_mcb_and_wallet_are_called_again_after_retry_after(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    harness.mcb.fail(status=429, retry_after=1)
    await harness.ask(family)
    first, second = harness.mcb.calls
    assert second.at - (first.responded_at or 0) >= 0.95
    harness.wallet.fail(status=503, retry_after=1)
    await harness.smsc.reply(family.number, "3#1")
    await harness.text(family, "socwallet")  # which does not wait for the wallet
    await harness.status(family, "voucher_issued")
    first, second = harness.wallet.calls
    assert second.at - (first.responded_at or 0) >= 0.95


async def test_recipient_missing_from_a_batch_is_retried_and_an_invalid_result_parks_one_case(
    harness: Harness,
) -> None:
    await harness.start(mcb={"batch": 10})
    families = [Family(n=n) for n in range(1, 7)]
    people = [family.people[0][1] for family in families]
    harness.mcb.omitted[people[1]] = 2
    harness.mcb.overrides[people[2]] = {"found": "maybe"}
    await harness.push(*families)
    assert (await harness.journaled(families[2], "parked"))["reason"].startswith("mcb: ")
    for family in (families[0], families[1], *families[3:]):
        await harness.status(family, "asked")
    assert harness.mcb.asked(people[1]) == 3
    assert harness.mcb.largest_batch > 1


async def test_batch_with_an_invalid_response_is_looked_up_one_by_one(harness: Harness) -> None:
    await harness.start(mcb={"batch": 10})
    families = [Family(n=n) for n in range(1, 4)]
    bodies: list[dict[str, Any]] = [{"status": 400}, {"status": 200, "body": '{"results": {}}'}]
    for body in bodies:
        harness.mcb.fail(containing="iins", **body)
    await harness.ask(*families)
    assert any(call.path == "/v1/lookup" for call in harness.mcb.calls)


async def test_siblings_with_one_mother_are_one_iin_in_a_batch(harness: Harness) -> None:
    await harness.start(mcb={"batch": 10})
    mother = Family(n=1)
    siblings = [mother, Family(n=2), Family(n=3)]
    records = [{**family.record(), "mother": mother.record()["mother"]} for family in siblings]
    harness.know([mother])
    await harness.put(records)
    for family in siblings:
        await harness.journaled(family, "number_found")
    assert harness.mcb.looked_up == 1
    harness.no_complaints()


async def test_requests_that_fail_together_count_as_one_failure_of_the_partner(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fifteenth failure in a row would take minutes.
    harness.set_policy(partners={"cooldown": Backoff(first_seconds=0.02, max_seconds=3600.0)})
    await harness.start()
    families = [Family(n=n) for n in range(1, 31)]
    harness.mcb.latency = 0.2  # all are under way when the first one fails
    harness.mcb.fail(len(families))
    await harness.push(*families)
    for family in families:
        await harness.status(family, "number_found")
    assert harness.mcb.max_in_flight == len(families)


async def test_requests_under_way_stay_within_the_configured_concurrency(harness: Harness) -> None:
    harness.mcb.latency = 0.02
    await harness.start(mcb={"concurrency": 3})
    await harness.ask(*(Family(n=n) for n in range(1, 21)))
    assert harness.mcb.max_in_flight == 3


async def test_wallet_sees_one_key_a_consent_through_failures_and_a_kill(harness: Harness) -> None:
    process = await harness.start(wallet={"timeout": "200ms"})
    family = Family(n=1)
    await harness.ask(family)
    harness.wallet.fail(status=503)
    harness.wallet.fail(cut=True, after=True)
    harness.wallet.down(hang=True)
    await harness.smsc.reply(family.number, "3#1")
    await harness.wallet.wait_for(lambda: harness.wallet.failed >= 4)
    await process.kill()
    await harness.start(wallet={"timeout": "200ms"})
    failed = harness.wallet.failed
    await harness.wallet.wait_for(lambda: harness.wallet.failed > failed, within=10)
    harness.wallet.up()
    event = await harness.status(family, "voucher_issued")
    assert set(harness.wallet.keys) == {await harness.case_id(family)}
    assert [voucher.voucher_id for voucher in harness.wallet.vouchers.values()] == [event["detail"]["voucher_id"]]
    assert {call.raw for call in harness.wallet.calls} == {harness.wallet.calls[0].raw}


async def test_number_in_a_rejection_reason_is_masked(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    body = f'{{"reason": "{family.pupil_iin} бұрын алған"}}'
    harness.wallet.fail(status=422, body=body, content_type="application/problem+json")
    await harness.smsc.reply(family.number, "3#1")
    rejected = await harness.status(family, "voucher_rejected")
    assert rejected["detail"] == {"reason": f"{mask_iin(family.pupil_iin)} бұрын алған"}


async def test_existing_voucher_counts_as_issued_and_a_rejection_is_final(harness: Harness) -> None:
    await harness.start()
    has_one, refused = Family(n=1), Family(n=2)
    await harness.ask(has_one, refused)
    harness.wallet.has_voucher(has_one.pupil_iin, "V-77")
    harness.wallet.reject(refused.pupil_iin)
    for family in (has_one, refused):
        await harness.smsc.reply(family.number, "3#1")
    assert (await harness.status(has_one, "voucher_issued"))["detail"] == {"voucher_id": "V-77"}
    assert (await harness.status(refused, "voucher_rejected"))["detail"] == {"reason": "Refused"}
    assert await harness.connection.fetchval("SELECT count(*) FROM calls") == 0
