"""No output of `gateway serve` contains a name, a number, a text or a secret, whatever fails.

A real process with its log at `debug` runs a campaign in which all clients and partners misbehave and send back
personal data where they can. Then its whole output and all responses are searched.
"""

import asyncio
import gzip
import json
import os
import re
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.demo.process import GatewayProcess
from gateway.simulators.identities import nth_iin
from gateway.simulators.sdu import new_secret
from gateway.simulators.wallet import WalletSimulator
from tests.harness import TOKENS, WITHIN, Family, Harness, harness

__all__ = ["harness"]

ROOT = Path(__file__).parents[1]
LATIN = ("Xylophonova", "Jabberwocky", "Quixotbek")
CYRILLIC = ("Ёжиксона", "Щукабек", "Әлқисақызы")
WORDS = ("walrus", "жаңғақ")
"""Words of the replies."""
SMSC_PASSWORD = "pwd-smsc"
DATABASE_PASSWORD = "pwd-of-database"
UNKNOWN_SENDER = "77029998877"
FAILING_SENDER = "77017776655"
"""A number whose replies the database refuses."""
SECRETS = (
    SMSC_PASSWORD,
    DATABASE_PASSWORD,
    new_secret(),
    new_secret().removeprefix("whsec_"),
    "token-for-mcb",
    "token-for-wallet",
    "token-for-sdu",
    *TOKENS.values(),
)

FAMILIES = [Family(n=n, language="ru" if n % 2 else "kk") for n in range(1, 13)]
(
    AGREES,
    ECHOED,
    INVALID_RESPONSE,
    NO_NUMBER,
    SLOW,
    BUSY,
    ROW,
    REFUSED,
    UNCLEAR,
    VOUCHER_REFUSED,
    UNASKED,
    CANCELLED,
) = FAMILIES

# The database's own words quote a surname; a constraint's DETAIL quotes the row.
_TRAPS = f"""
CREATE FUNCTION quote_surname() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM (record -> 'pupil' ->> 'surname')::integer FROM records WHERE case_id = NEW.case_id;
    RETURN NEW;
END $$;
CREATE TRIGGER trap BEFORE UPDATE ON cases FOR EACH ROW WHEN (NEW.record_id = '{ROW.record_id}')
    EXECUTE FUNCTION quote_surname();
ALTER TABLE cases ADD CONSTRAINT rejected_record CHECK (record_id <> 'r-99');
ALTER TABLE replies ADD CONSTRAINT rejected_sender CHECK (source_addr <> '{FAILING_SENDER}');
"""


def mother_iin(family: Family) -> str:
    return family.people[0][1]


def record(family: Family) -> dict[str, Any]:
    """The record of the family with our names: Latin ones for every other family."""
    surname, given_name, patronymic = LATIN if family.n % 2 else CYRILLIC
    names = {"surname": surname, "given_name": given_name, "patronymic": patronymic}
    whole = family.record()
    return {**whole, "pupil": {**whole["pupil"], **names}, "mother": {**whole["mother"], **names}}


def echo(family: Family) -> str:
    """A response of a partner that contains personal data of the family."""
    return json.dumps({"title": f"{LATIN[1]} {CYRILLIC[0]}", "detail": record(family), "msisdn": family.number})


@dataclass(slots=True)
class Client:
    """Calls the gateway, and keeps its problem documents and error lists."""

    harness: Harness
    url: str
    problems: list[str] = field(default_factory=list)

    async def __call__(self, method: str, path: str, *, role: str = "sdu", **more: Any) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {TOKENS[role]}", **more.pop("headers", {})}
        async with self.harness.http.request(method, self.url + path, headers=headers, **more) as response:
            text = await response.text()
            if response.status >= 400 or path.endswith(("/errors", "/events")):
                self.problems.append(text)
            return response.status, text

    async def push(self, list_id: str, body: bytes, **headers: str) -> int:
        headers = {"Content-Type": "application/x-ndjson", **headers}
        status, _ = await self("PUT", f"/v1/lists/{list_id}", data=body, headers=headers)
        return status


def lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in records)


def secrets_and_names() -> list[str]:
    """All that must not be found. A number is searched without its country code, as every spelling has that."""
    numbers = [family.number for family in FAMILIES] + [UNKNOWN_SENDER, FAILING_SENDER]
    iins = [person for family in FAMILIES for _, person, _ in family.people]
    iins += [family.pupil_iin for family in FAMILIES]
    return [*LATIN, *CYRILLIC, *WORDS, *SECRETS, *iins, *(number[1:] for number in numbers), "№"]


def leaks(text: str) -> set[str]:
    """Those that the text contains, also in JSON escapes; and any Cyrillic word."""
    plain = text + re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
    return {word for word in secrets_and_names() if word.lower() in plain.lower()} | set(
        re.findall("[\u0400-\u04ff]{2,}", plain)
    )


async def push_invalid_lists(client: Client) -> None:
    """Invalid lists, requests and octets."""
    good, name = record(AGREES), LATIN[0]
    faulty = [
        {**good, "record_id": "r-90", "pupil": {**good["pupil"], "iin": good["pupil"]["iin"][:-1] + "x"}},
        {**good, "record_id": "r-91", "mother": {**good["mother"], "surname": name * 9}},
        {**good, "record_id": "r-92", "category": name, "language": CYRILLIC[0]},
        {**good, "record_id": "r-93", "mother": good["mother"]["iin"]},
        {**good, "record_id": "r-94", "school": {"bin": name, "name": f"№ 12 {name}\n"}},
    ]
    body = lines(faulty) + f'{{"{name}": {good["pupil"]["iin"]}\n'.encode() + f"{name} {AGREES.number}\n".encode()
    assert await client.push("faulty", body) == 201
    assert (await client("GET", "/v1/lists/faulty/errors"))[0] == 200
    assert await client.push(name + "?service=" + AGREES.number, b"") == 404
    assert await client.push(CYRILLIC[0], b"") == 400
    assert await client.push("gzip", lines([good]), **{"Content-Encoding": "gzip"}) == 400
    assert await client.push("cut", gzip.compress(lines([good]))[:-6], **{"Content-Encoding": "gzip"}) == 400
    assert await client.push("text", lines([good]), **{"Content-Type": f"text/{name}"}) == 415
    assert await client.push("quoted", lines([{**good, "record_id": "r-99"}])) == 500
    for token in (name, TOKENS["sdu"] + name, nth_iin(1)):
        assert (await client("GET", "/v1/lists", headers={"Authorization": f"Bearer {token}"}))[0] == 401
    for path in (f"/v1/cases/{name}", f"/v1/people/{good['pupil']['iin']}", f"/v1/statuses?after={name}"):
        assert (await client("GET", path))[0] in (400, 404)
    assert (await client("GET", f"/v1/cases?list_id={name}&record_id={AGREES.number}"))[0] == 200
    host, _, port = client.url.removeprefix("http://").partition(":")
    for octets in (f"GET /{name} HTTP/{AGREES.number}\r\n\r\n", f"GET / HTTP/1.1\r\n{name} {SECRETS[0]}\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(octets.encode())
        client.problems.append((await reader.read()).decode())
        writer.close()


async def fail_look_ups(harness: Harness, client: Client) -> None:
    """An MCB and an SDU that echo, fail, hang and send invalid responses; a database that quotes rejected rows."""
    harness.know(FAMILIES)
    harness.mcb.fail(status=400, body=echo(ECHOED), containing=mother_iin(ECHOED))
    harness.mcb.fail(status=503, retry_after=LATIN[0], body=echo(BUSY), containing=mother_iin(BUSY))
    harness.mcb.fail(hang=True, containing=mother_iin(SLOW))
    harness.mcb.overrides[mother_iin(INVALID_RESPONSE)] = f"<html>{echo(INVALID_RESPONSE)}".encode()
    harness.mcb.overrides[mother_iin(NO_NUMBER)] = {"found": True, "msisdn": f"{LATIN[2]} 7701 {CYRILLIC[2]}"}
    harness.sdu.fail(status=400, body=echo(AGREES))
    harness.sdu.fail(cut=True)
    harness.smsc.add(f"refuse to={UNASKED.number}")
    assert await client.push("campaign", lines([record(family) for family in FAMILIES])) == 201
    for family in (ECHOED, INVALID_RESPONSE):
        await harness.journaled(family, "parked")
    await harness.status(NO_NUMBER, "no_number")
    await harness.status(UNASKED, "undeliverable")
    for family in (AGREES, SLOW, BUSY, REFUSED, UNCLEAR, VOUCHER_REFUSED, CANCELLED):
        await harness.smsc.message(family.number, containing="3#1", within=30)
        await harness.status(family, "asked")


async def send_invalid_replies(harness: Harness) -> None:
    """Words beside a code, octets that do not decode, replies of unknown senders, invalid PDUs."""
    smsc, word = harness.smsc, WORDS[0]
    assert await smsc.reply(UNCLEAR.number, f"{word} 3#1 {LATIN[0]} 8{UNCLEAR.number[1:]}") == 0
    assert await smsc.reply(UNCLEAR.number, f"{WORDS[1]} {CYRILLIC[1]} {mother_iin(UNCLEAR)}") == 0
    assert await smsc.reply(UNKNOWN_SENDER, f"{word} {LATIN[1]}", as_data_sm=True) == 0
    assert await smsc.reply(AGREES.number, octets=b"\xff\xfe" + word.encode(), data_coding=8) == 0
    assert await smsc.reply(FAILING_SENDER, f"3#1 {word} {LATIN[0]}", within=20) != 0
    sender = b"\0\1\1" + UNCLEAR.number.encode() + b"\0"
    for command_id, body in (
        (5, sender + b"\0\x001414\0\0\0\0\0\0\0\0\0\0\xff" + word.encode()),
        (5, sender[:9]),
        (5, sender + word.encode()),
        (0x00FFFFFF, word.encode() + sender),
        (0x80000004, UNCLEAR.number.encode() + b"\0"),
        (0x0B, b"SMSC\0" + SMSC_PASSWORD.encode() + b"\0"),
    ):
        await smsc.send_raw(struct.pack(">IIII", 16 + len(body), command_id, 0, 70_000) + body)
    await smsc.enquire()


async def fail_wallet_and_actions(harness: Harness, client: Client) -> None:
    """A wallet that echoes, repeats and fails; manual actions that fail."""
    harness.wallet.fail(status=400, body=echo(VOUCHER_REFUSED), containing=VOUCHER_REFUSED.pupil_iin)
    harness.wallet.fail(status=422, body=echo(REFUSED), containing=REFUSED.pupil_iin)
    harness.wallet.fail(status=500, body=echo(AGREES), containing=AGREES.pupil_iin)
    for family in (VOUCHER_REFUSED, REFUSED, AGREES):
        assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.journaled(VOUCHER_REFUSED, "parked")
    await harness.status(REFUSED, "voucher_rejected")
    await harness.status(AGREES, "voucher_issued")
    case_id, name = await harness.case_id(AGREES), LATIN[1]
    once = WalletSimulator.event(case_id, "used")
    invalid = [{**once, "event_id": name * 9}, {**once, "type": name}, {**once, "case_id": AGREES.number}, name]
    for events in ([once], [once], invalid):
        status, _ = await client("POST", "/v1/wallet/events", role="wallet", json={"events": events})
        assert status == 200
    await harness.status(AGREES, "service_received")
    for family, status in ((CANCELLED, 200), (CANCELLED, 409), (ROW, 500)):
        path = f"/v1/cases/{await harness.case_id(family)}/cancel"
        assert (await client("POST", path, role="ops", json={"reason": f"{name} {family.number}"}))[0] == status
        assert (await client("POST", path, role="ops", data=f"{{{name}"))[0] == 415
        assert (await client("POST", path, role="ops", json={"reason": f"{name}\0"}))[0] == 422


async def command(*arguments: str, config: Path) -> str:
    """The whole output of a command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway", *arguments, "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_no_output_of_the_gateway_contains_personal_data_or_secrets(
    harness: Harness, tmp_path: Path
) -> None:
    harness.smsc.password = SMSC_PASSWORD
    await harness.connection.execute(_TRAPS)
    config = harness.configure(
        0,
        gateway={"database": harness.database_url.replace("@", f":{DATABASE_PASSWORD}@")},
        link={"password": SMSC_PASSWORD},
        mcb={"timeout": "1s", "concurrency": 1},
        log={"level": "debug"},
    )
    harness.smsc.refuse_binds("RSYSERR")
    gateway = await GatewayProcess.start(config.path, tmp_path / "gateway.logs.log")
    try:
        client = Client(harness, gateway.url)
        await push_invalid_lists(client)
        await fail_look_ups(harness, client)
        await send_invalid_replies(harness)
        await fail_wallet_and_actions(harness, client)
        metrics = (await client("GET", "/metrics"))[1]
        before = list(harness.smsc.connections)
        harness.smsc.drop()
        await harness.smsc.wait_for(lambda: harness.smsc.connections[len(before) :], within=WITHIN)
    finally:
        status = await gateway.stop()

    log = gateway.log.read_text(encoding="utf-8")
    lines_logged = [json.loads(line) for line in log.splitlines()]  # nothing but the log, on both streams
    events = {line["event"] for line in lines_logged}
    assert status == 0
    assert events >= {"call_failed", "case_parked", "http_failed", "http_malformed", "inbound_not_stored"}
    assert events >= {"link_bind_refused", "link_lost", "link_unexpected_pdu", "partner_unavailable", "stopped"}
    assert {line["exception"].get("sqlstate") for line in lines_logged if "exception" in line} >= {
        "22P02",
        "23514",
    }

    faulty = config.path.read_text().replace("whsec_", "whsec-").replace("postgresql:", "mysql:")
    config.path.write_text(faulty.replace(TOKENS["ops"], TOKENS["sdu"]))
    places = {
        "log": log,
        "metrics": metrics,
        "problems": "\n".join(client.problems),
        "check-config": await command("check-config", config=config.path),
    }
    assert len(client.problems) > 20
    for key in ("gateway.database", "http.tokens.ops", "sdu.signing_secret"):
        assert f"{key}: " in places["check-config"]
    assert [partner.complaints for partner in (harness.mcb, harness.wallet, harness.sdu)] == [[], [], []]
    assert {place: found for place, text in places.items() if (found := leaks(text))} == {}


async def test_an_unreachable_database_is_reported_without_its_password(harness: Harness) -> None:
    for url in ("@127.0.0.1:1/gateway", "@nowhere.invalid/gateway", "@127.0.0.1:port/gateway", "@[::1/gateway"):
        config = harness.configure(0, gateway={"database": f"postgresql://gateway:{DATABASE_PASSWORD}{url}"})
        output = await command("serve", config=config.path)
        assert output.startswith("gateway: "), "one clear line"
        assert DATABASE_PASSWORD not in output
