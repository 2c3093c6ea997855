"""What the MCB and the wallet may answer, sense and nonsense, and what the gateway makes of it."""

from typing import Any, NamedTuple

import pytest

from gateway.consent.identity import mask_iin
from gateway.partners import caller, responses
from gateway.simulators.partner import Fault
from tests.harness import Family, Harness, metric


class Nonsense(NamedTuple):
    status: int
    body: bytes | str
    content_type: str = "application/json"


NO_JSON = {
    "an empty body": Nonsense(200, b""),
    "a page": Nonsense(200, "<html>Service</html>", "text/html"),
    "half an object": Nonsense(200, '{"found": tr'),
    "an array": Nonsense(200, "[]"),
    "a number": Nonsense(200, "42"),
    "null": Nonsense(200, "null"),
    "octets that are no UTF-8": Nonsense(200, b'{"found": "\xff"}'),
    "400": Nonsense(400, '{"title": "Bad Request"}'),
    "401": Nonsense(401, ""),
    "403": Nonsense(403, ""),
    "404": Nonsense(404, "not found", "text/plain"),
    "a redirect": Nonsense(302, ""),
    "a number nested 100,000 deep": Nonsense(200, b'{"a":' * 100_000),
}
MEGABYTES = "x" * responses.MAX_RESPONSE_BYTES
OF_THE_MCB = {
    "megabytes": Nonsense(200, f'{{"found": false, "more": "{MEGABYTES}"}}'),
    "an empty object": Nonsense(200, "{}"),
    "found in words": Nonsense(200, '{"found": "yes", "msisdn": "+77011234567"}'),
    "found and null": Nonsense(200, '{"found": null}'),
    "found without a number": Nonsense(200, '{"found": true}'),
    "a number that is one": Nonsense(200, '{"found": true, "msisdn": 77011234567}'),
    "201": Nonsense(201, '{"found": false}'),
    "204": Nonsense(204, ""),
}
OF_THE_WALLET = {
    "megabytes": Nonsense(201, f'{{"voucher_id": "V-1", "more": "{MEGABYTES}"}}'),
    "no voucher": Nonsense(201, "{}"),
    "an empty voucher_id": Nonsense(201, '{"voucher_id": ""}'),
    "a voucher_id that is a number": Nonsense(200, '{"voucher_id": 7}'),
    "a voucher_id that no database keeps": Nonsense(201, '{"voucher_id": "V\\u0000"}'),
    "a voucher_id without end": Nonsense(201, '{"voucher_id": "' + 1000 * "V" + '"}'),
    "a conflict without a voucher": Nonsense(409, '{"title": "exists"}'),
    "204": Nonsense(204, ""),
    "410": Nonsense(410, ""),
}


async def test_nonsense_of_the_mcb_parks_the_case_until_ops_release_it(harness: Harness) -> None:
    await harness.start(journey={"clarify": False})
    nonsense = NO_JSON | OF_THE_MCB
    families = [Family(n=n, mother=f"7701{n:07d}", father=None) for n in range(1, len(nonsense) + 1)]
    for family, answer in zip(families, nonsense.values(), strict=True):
        harness.mcb.fail(containing=family.people[0][1], **answer._asdict())
    await harness.push(*families)
    reasons = {}
    for family, name in zip(families, nonsense, strict=True):
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


async def test_nonsense_of_the_wallet_parks_the_consent_and_a_release_asks_with_the_same_key(
    harness: Harness,
) -> None:
    await harness.start()
    nonsense = NO_JSON | OF_THE_WALLET
    families = [Family(n=n) for n in range(1, len(nonsense) + 1)]
    await harness.ask(*families)
    for family, answer in zip(families, nonsense.values(), strict=True):
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


async def test_an_operator_that_no_database_keeps_is_an_unknown_one(harness: Harness) -> None:
    await harness.start()
    families = [Family(n=1), Family(n=2)]
    odd = {"found": True, "msisdn": f"+{families[0].number}", "operator": "k\0"}
    harness.know(families)
    harness.mcb.odd[families[0].people[0][1]] = odd
    await harness.put([family.record() for family in families])
    for family in families:
        await harness.status(family, "asked")


@pytest.mark.parametrize("batch", [1, 10])
async def test_the_mcb_being_down_ends_no_case_and_nobody_falls_through(harness: Harness, batch: int) -> None:
    before = metric("calls_total", kind="lookup", outcome="again")
    harness.mcb.down()
    await harness.start(mcb={"batch": batch, "timeout": "200ms"})
    families = [Family(n=n, mother=f"7701{n:07d}", father="77020000001") for n in range(1, 4)]
    await harness.push(*families)
    for fault in (Fault(status=503), Fault(status=500), Fault(status=429), Fault(cut=True), Fault(hang=True)):
        failed = harness.mcb.failed
        harness.mcb.down(**{name: getattr(fault, name) for name in ("status", "cut", "hang")})
        await harness.mcb.wait_for(lambda failed=failed: harness.mcb.failed > failed + 1, within=10)
    await harness.mcb.stop()
    assert {(await harness.case(family))["state"] for family in families} == {"looking_up"}
    harness.mcb.up()
    await harness.mcb.start()
    for family in families:
        assert (await harness.status(family, "asked"))["detail"] == {"relation": "mother"}
    fathers = [person[1] for family in families for person in family.people if person[0] == "father"]
    assert not any(father.encode() in call.raw for call in harness.mcb.calls for father in fathers)
    assert metric("calls_total", kind="lookup", outcome="again") > before


async def test_retry_after_is_honoured_by_mcb_and_wallet(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    harness.mcb.fail(status=429, retry_after=1)
    await harness.ask(family)
    first, second = harness.mcb.calls
    assert second.at - (first.answered_at or 0) >= 0.95
    harness.wallet.fail(status=503, retry_after=1)
    await harness.smsc.reply(family.number, "3#1")
    await harness.text(family, "socwallet")  # which does not wait for the wallet
    await harness.status(family, "voucher_issued")
    first, second = harness.wallet.calls
    assert second.at - (first.answered_at or 0) >= 0.95


async def test_one_missing_from_a_batch_is_asked_again_and_nonsense_about_one_is_his_alone(
    harness: Harness,
) -> None:
    await harness.start(mcb={"batch": 10})
    families = [Family(n=n) for n in range(1, 7)]
    people = [family.people[0][1] for family in families]
    harness.mcb.left_out[people[1]] = 2
    harness.mcb.odd[people[2]] = {"found": "maybe"}
    await harness.push(*families)
    assert (await harness.journaled(families[2], "parked"))["reason"].startswith("mcb: ")
    for family in (families[0], families[1], *families[3:]):
        await harness.status(family, "asked")
    assert harness.mcb.asked(people[1]) == 3
    assert harness.mcb.largest_batch > 1


async def test_a_batch_that_makes_no_sense_is_asked_one_by_one(harness: Harness) -> None:
    await harness.start(mcb={"batch": 10})
    families = [Family(n=n) for n in range(1, 4)]
    bodies: list[dict[str, Any]] = [{"status": 400}, {"status": 200, "body": '{"results": {}}'}]
    for body in bodies:
        harness.mcb.fail(containing="iins", **body)
    await harness.ask(*families)
    assert any(call.path == "/v1/lookup" for call in harness.mcb.calls)


async def test_siblings_of_one_mother_are_one_person_in_a_batch(harness: Harness) -> None:
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


async def test_requests_that_fail_together_are_one_failure_of_the_neighbour(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "COOLDOWN", (0.02, 3600.0))  # the fifteenth failure in a row would take minutes
    await harness.start()
    families = [Family(n=n) for n in range(1, 31)]
    harness.mcb.latency = 0.2  # all are under way when the first one fails
    harness.mcb.fail(len(families))
    await harness.push(*families)
    for family in families:
        await harness.status(family, "number_found")
    assert harness.mcb.most_under_way == len(families)


async def test_no_more_requests_than_configured_are_under_way(harness: Harness) -> None:
    harness.mcb.latency = 0.02
    await harness.start(mcb={"concurrency": 3})
    await harness.ask(*(Family(n=n) for n in range(1, 21)))
    assert harness.mcb.most_under_way == 3


async def test_the_wallet_sees_one_key_a_consent_however_often_it_fails(harness: Harness) -> None:
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


async def test_no_number_in_a_refusals_reason_is_kept_for_ever(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    told = f'{{"reason": "{family.pupil_iin} бұрын алған"}}'
    harness.wallet.fail(status=422, body=told, content_type="application/problem+json")
    await harness.smsc.reply(family.number, "3#1")
    rejected = await harness.status(family, "voucher_rejected")
    assert rejected["detail"] == {"reason": f"{mask_iin(family.pupil_iin)} бұрын алған"}


async def test_a_voucher_there_is_already_counts_as_issued_and_a_refusal_is_for_good(harness: Harness) -> None:
    await harness.start()
    has_one, refused = Family(n=1), Family(n=2)
    await harness.ask(has_one, refused)
    harness.wallet.have(has_one.pupil_iin, "V-77")
    harness.wallet.reject(refused.pupil_iin)
    for family in (has_one, refused):
        await harness.smsc.reply(family.number, "3#1")
    assert (await harness.status(has_one, "voucher_issued"))["detail"] == {"voucher_id": "V-77"}
    assert (await harness.status(refused, "voucher_rejected"))["detail"] == {"reason": "Refused"}
    assert await harness.connection.fetchval("SELECT count(*) FROM calls") == 0
