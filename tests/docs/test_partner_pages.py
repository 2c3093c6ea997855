"""What docs/partners/ tells integrators: its commands and programs run, and its documents are what is sent."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.api import ops
from gateway.intake.fields import Code
from gateway.simulators.sdu import new_secret
from tests.docs.programs import PARTNERS, blocks, run
from tests.harness import TOKENS, Family, Harness, harness

__all__ = ["harness"]

SDU = (PARTNERS / "sdu.md").read_text(encoding="utf-8")
WALLET = (PARTNERS / "mcb-and-wallet.md").read_text(encoding="utf-8")
DOCUMENT: Mapping[str, Any] = json.loads((PARTNERS / "partners.openapi.json").read_text(encoding="utf-8"))
GATEWAY: Mapping[str, Any] = json.loads(ops.OPENAPI.read_text(encoding="utf-8"))
MOTHER, FATHER, NUMBER = "870312497005", "850101397008", "77010000001"


async def shell(block: str, environment: Mapping[str, str]) -> Any:
    """The JSON that a block of sh prints."""
    return json.loads(await run("sh", "-euc", block, environment=environment))


def validator(document: Mapping[str, Any], pointer: str) -> Draft202012Validator:
    """Of the schema at this place of an OpenAPI document."""
    registry: Registry[Any] = Registry().with_resource("urn:document", DRAFT202012.create_resource(document))
    return Draft202012Validator({"$ref": f"urn:document#{pointer}"}, registry=registry)


def faults(document: Mapping[str, Any], pointer: str, value: object) -> Iterator[str]:
    return (error.message for error in validator(document, pointer).iter_errors(value))


def body_of(path: str) -> str:
    return f"/paths/{path.replace('/', '~1')}/post/requestBody/content/application~1json/schema"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_commands_and_programs_of_the_pages_run(harness: Harness, tmp_path: Path) -> None:
    process = await harness.start()
    harness.mcb.numbers |= {MOTHER: NUMBER, FATHER: "77010000002"}
    environment = {"GATEWAY": process.url, "SDU_TOKEN": TOKENS["sdu"], "WALLET_TOKEN": TOKENS["wallet"]}
    _, push, follow, find = blocks(SDU, "sh")
    (printed,) = blocks(SDU, "json")
    cancel, pull, _ = blocks(SDU, "python")
    assert await shell(push, environment) == json.loads(printed)
    await harness.smsc.message(NUMBER, containing="3#1", within=10.0)
    assert sum((await shell(follow, environment))["progress"].values()) == 2
    ((case),) = (await shell(find, environment))["cases"]
    assert (await run(sys.executable, "-c", cancel, environment=environment)).strip() == "cancelled"
    assert "r-000002 cancelled" in await run(sys.executable, "-c", pull, environment=environment)
    await harness.smsc.reply(NUMBER, "3#1")
    await harness.sdu.status(case["case_id"], "voucher_issued", within=10.0)
    (event,) = blocks(WALLET, "sh")
    taken = await shell(event, environment | {"CASE_ID": case["case_id"]})
    assert taken == {"taken": 1, "errors": []}


async def test_a_push_is_verified_by_the_function_of_the_page(harness: Harness) -> None:
    secret = new_secret()
    await harness.start(sdu={"signing_secret": secret})
    await harness.ask(Family(n=1))
    defined: dict[str, Any] = {}
    exec(blocks(SDU, "python")[2], defined)
    call = harness.sdu.calls[-1]
    headers = {name.lower(): value for name, value in call.headers.items()}
    assert defined["events_of"](headers, call.raw, secret) == call.body["events"]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(call.raw + b" ", headers)


async def test_requests_to_partners_fit_the_partners_document(harness: Harness) -> None:
    await harness.start(mcb={"batch": 5})
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "voucher_issued")
    hook = "/webhooks/statuses/post/requestBody/content/application~1json/schema"
    for call in harness.sdu.calls:
        assert list(faults(GATEWAY, hook, call.body)) == []
        for parameter in GATEWAY["webhooks"]["statuses"]["post"]["parameters"]:
            assert parameter["name"] in call.headers
    (lookup,) = harness.mcb.calls
    (voucher,) = harness.wallet.calls
    for sent in (lookup, voucher):
        assert list(faults(DOCUMENT, body_of(sent.path), sent.body)) == []
    assert list(faults(DOCUMENT, "/components/schemas/CaseId", voucher.headers["Idempotency-Key"])) == []


def test_a_request_that_violates_the_partners_document_is_found() -> None:
    assert list(faults(DOCUMENT, body_of("/v1/lookup"), {"iin": "1"}))
    assert list(faults(DOCUMENT, body_of("/v1/vouchers"), {"case_id": "x"}))
    assert list(faults(DOCUMENT, "/components/schemas/Lookup", {"found": True}))


def test_the_document_of_the_partners_is_valid() -> None:
    validate(DOCUMENT)


def test_every_code_of_a_rejected_record_is_explained() -> None:
    table = SDU[SDU.index("| code | what to do |") :]
    assert {code for code in Code if f"`{code}`" not in table} == set()
    statuses = GATEWAY["components"]["schemas"]["StatusEvent"]["properties"]["status"]["enum"]
    assert {status for status in statuses if f"`{status}`" not in SDU} == set()
