"""`gateway simulate …` as programs: their options, events and commands."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from benches.json_lines import Child
from smpplib import consts

from gateway.cli import main
from gateway.simulators.habits import Habits
from gateway.simulators.partner import Fault, fault_settings
from gateway.simulators.receipts import STATES
from gateway.simulators.rules import REACTIONS
from gateway.simulators.smsc import SmscSimulator
from tests.esme_client import BindEsme

ROOT = Path(__file__).parents[2]
IIN = "870312497005"
TIMEOUT = aiohttp.ClientTimeout(total=30)


Start = Callable[..., Awaitable[Child]]


@pytest.fixture
async def simulate(tmp_path: Path) -> AsyncIterator[Start]:
    """`await simulate("mcb", "--port", "0")` is the running program, in a folder with a space in its path."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    programs: list[Child] = []

    async def start(*arguments: str, stdin: int = asyncio.subprocess.PIPE) -> Child:
        program = await Child.start("gateway", "simulate", *arguments, cwd=folder, stdin=stdin)
        programs.append(program)
        return program

    yield start
    for program in programs:
        if program.process.returncode is None:
            program.process.kill()
            await program.process.wait()


async def quit_of(program: Child) -> int:
    """Its exit status after the command `quit`."""
    await program.write("quit")
    return await program.process.wait()


async def post(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """(status, JSON) of the response."""
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as http,
        http.post(url, json=body, headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None)


async def test_the_mcb_program_has_the_given_numbers_and_fails_on_command(simulate: Start) -> None:
    mcb = await simulate("mcb", "--port", "0", "--only-these", "--number", f"{IIN}=77051234567,beeline")
    url = (await mcb.event("listening"))["url"] + "/v1/lookup"
    found = {"found": True, "msisdn": "+77051234567", "operator": "beeline"}
    assert await post(url, {"iin": IIN}) == (200, found)
    assert (await mcb.event("looked_up"))["msisdn"] == "77051234567"
    assert (await mcb.event("called"))["status"] == 200
    assert await post(url, {"iin": "131106697007"}) == (200, {"found": False})
    await mcb.write(f"number {IIN} none\nfail 1 status=500 containing={IIN}\nstate")
    assert (await mcb.event("state"))["called"] == 2
    assert (await post(url, {"iin": IIN}))[0] == 500
    assert await post(url, {"iin": IIN}) == (200, {"found": False})
    assert await quit_of(mcb) == 0


async def test_the_wallet_program_refuses_on_command_and_reports_failed_events(simulate: Start) -> None:
    wallet = await simulate("wallet", "--port", "0", "--token", "secret")
    url = (await wallet.event("listening"))["url"] + "/v1/vouchers"
    assert (await post(url, {}))[0] == 401
    assert (await wallet.event("complaint"))["reason"] == "no bearer token or a wrong one"
    await wallet.write("down status=429\nstate")
    await wallet.event("state")
    assert (await post(url, {}, Authorization="Bearer secret"))[0] == 429
    await wallet.write("event CASE used")
    assert (await wallet.event("error"))["reason"] == "ValueError: events need --gateway-url"
    await wallet.write("event CASE lost")
    assert (await wallet.event("error"))["reason"] == "ValueError: no such command, see --help"
    assert await quit_of(wallet) == 0


async def test_the_sdu_program_prints_each_status_and_needs_no_standard_input(simulate: Start) -> None:
    sdu = await simulate("sdu", "--port", "0", stdin=asyncio.subprocess.DEVNULL)
    url = (await sdu.event("listening"))["url"] + "/v1/statuses"
    fields = ("event_id", "at", "list_id", "record_id", "case_id", "service", "pupil_iin")
    status = {**dict.fromkeys(fields, "x"), "seq": 1, "status": "asked", "detail": {}}
    assert await post(url, {"events": [status]}) == (200, {"taken": 1})
    assert (await sdu.event("status"))["status"] == "asked"
    sdu.process.terminate()
    assert await sdu.process.wait() == 0


async def test_all_four_run_in_one_process_with_a_configuration_for_the_gateway(
    simulate: Start, esme: BindEsme, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = [word for name in ("smsc", "mcb", "wallet", "sdu") for word in (f"--{name}-port", "0")]
    program = await simulate("all", *ports, "--token", "of-compose-and-no-secret", "--password", "secret1")
    listening = await program.event("listening")
    assert 'token = "of-compose-and-no-secret"' in listening["config"]
    config = tmp_path / "config.toml"
    config.write_text(listening["config"])
    assert main(["check-config", "--config", str(config)]) == 0
    assert "links simulated" in capsys.readouterr().out
    for name in ("mcb", "wallet", "sdu"):
        assert f'url = "{listening[name]}"' in listening["config"]
    port = int(listening["smsc"].rpartition(":")[2])
    client = await esme(SmscSimulator(port), password="secret1")
    await program.write("smsc reply 77011234567 3#1")
    assert (await client.acknowledge()).short_message == b"3#1"
    assert (await program.event("acknowledged"))["simulator"] == "smsc"
    await program.write("mcb state")
    assert (await program.event("state"))["simulator"] == "mcb"
    await program.write("state")
    assert "a command begins with one of smsc, mcb, wallet, sdu" in (await program.event("error"))["reason"]
    assert await quit_of(program) == 0


async def test_the_smsc_program_takes_habits_as_options_and_changes_them_on_command(
    simulate: Start, esme: BindEsme
) -> None:
    program = await simulate(
        "smsc", "--port", "0", "--habits", "refuse_all=RSUBMITFAIL", "--habits", "echo_every=1"
    )
    client = await esme(SmscSimulator((await program.event("listening"))["port"]))
    await client.submit("hello")
    assert (await client.read()).status == consts.SMPP_ESME_RSUBMITFAIL
    await program.write("habits unbound_after=x\nhabits refuse_all=RINVSRCADR")
    assert "invalid literal" in (await program.event("error"))["reason"]
    await program.write("state")
    await program.event("state")
    await client.submit("hello")
    assert (await client.read()).status == consts.SMPP_ESME_RINVSRCADR
    await program.write("habits clear\nstate")
    await program.event("state")
    await client.submit("hello")
    assert (await client.read()).status == 0
    assert await quit_of(program) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("smsc", "--rule", "thottle"), "no such reaction: thottle"),
        (("smsc", "--receipts", "delivred"), "no such outcome: delivred"),
        (("smsc", "--habits", "nul_termnated"), "nul_termnated: no such setting of the SMSC's habits"),
        (("smsc", "--account", "gateway"), "ID:PASSWORD is expected"),
        (("mcb", "--number", "77011234567"), "IIN=MSISDN or IIN=MSISDN,OPERATOR is expected"),
        (("bank",), "invalid choice: 'bank'"),
        ((), "the following arguments are required: SIMULATOR"),
    ],
)
def test_an_invalid_option_is_reported_with_status_2(
    arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_an_address_that_is_not_available_is_reported_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "mcb", "--host", "192.0.2.1", "--port", "0"]) == 1
    assert "cannot listen" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["smsc", "all"])
def test_help_lists_every_reaction_outcome_and_habit(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", name, "--help"])
    out = capsys.readouterr().out
    assert f"reactions: {', '.join(REACTIONS)}\n" in out
    assert f"outcomes: none, {', '.join(STATES)}\n" in out
    assert all(habit.name in out for habit in fields(Habits))
    assert "refuse-bind STATUS [TIMES]" in out


def test_a_fault_is_written_as_key_value_words() -> None:
    settings = fault_settings(["status=429", "retry_after=7", "hang=yes", "after=no"])
    assert Fault(**settings) == Fault(status=429, retry_after="7", hang=True)


@pytest.mark.parametrize("word", ["status", "delay=1", "hang=perhaps", "status=slow"])
def test_an_invalid_fault_is_rejected(word: str) -> None:
    with pytest.raises(ValueError, match=r"expected|invalid literal"):
        fault_settings([word])
