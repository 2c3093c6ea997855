"""The command line without a running gateway: output, errors and exit status."""

import asyncio
import gzip
import json
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.cli import main
from gateway.cli.errors import CommandError
from gateway.cli.remote import address_of
from gateway.config import ConfigError
from gateway.store import journal
from gateway.store.database import Database
from tests.logs.test_log_writer import Pipe

ROOT = Path(__file__).parents[2]
LINK = """
[[links]]
name = "{name}"
host = "127.0.0.1"
port = 2775
system_id = "gateway"
password = "secret"
source = "1414"
tps = {tps}
long_messages = "{long_messages}"
"""
CONFIG = """
[http]
port = 8123
tokens = { sdu = "sdu-token-of-tests", wallet = "wallet-token-of-tests", ops = "ops-token-of-tests" }
[services.3]
name = "school-meals"
link = "https://egovmobile.page.link/socwallet"
[mcb]
url = "http://127.0.0.1:9"
token = "t"
[wallet]
url = "http://127.0.0.1:9"
token = "t"
"""
RECORD = {
    "record_id": "r-1",
    "category": 1,
    "pupil": {"iin": "131106697007", "surname": "Ахметов", "given_name": "Нұрлан", "patronymic": "Ерланұлы"},
    "mother": {"iin": "870312497005", "surname": "Ахметова", "given_name": "Айгүл", "patronymic": "Серікқызы"},
}


@pytest.fixture(autouse=True)
def no_gateway_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_URL", "GATEWAY_TOKEN", "GATEWAY_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + LINK.format(name="kcell", tps=100, long_messages="udh8"), encoding="utf-8")
    return path


# check-config


def test_check_config_reports_a_valid_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", str(config)]) == 0
    assert capsys.readouterr().out == f"{config} is valid: services 3 (school-meals); links kcell\n"


def test_check_config_writes_every_fault_as_a_line_on_standard_error(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with config.open("a") as file:
        file.write('window = 0\npace = 1\nlong_message = "x"\n')
    assert main(["check-config", "--config", str(config)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert [line.partition(": must")[0].partition(": unknown")[0] for line in sorted(output.err.splitlines())] == [
        "gateway: links.kcell.long_message",
        "gateway: links.kcell.pace",
        "gateway: links.kcell.window",
    ]


@pytest.mark.parametrize("command", ["serve", "check-config", "migrate", "preview", "verify-journal", "lists"])
def test_a_missing_configuration_is_a_one_line_error(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--config", str(tmp_path / "none.toml")]) == 1
    output = capsys.readouterr().err
    example = ROOT / "config.toml"
    assert output == (
        f"gateway: {tmp_path}/none.toml: cannot be read: No such file or directory; an example is {example}\n"
    )


def test_an_unknown_command_exits_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serves"])
    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_python_m_gateway_has_all_commands() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gateway", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in (
        "serve", "migrate", "check-config", "push", "lists", "status", "case", "links", "cancel", "release",
        "resend", "accept-reply", "preview", "verify-journal", "tail",
    ):  # fmt: skip
        assert f"    {command} " in shown.stdout or f"    {command}\n" in shown.stdout


# migrate, verify-journal


def test_a_second_migrate_does_nothing(
    config: Path, bare_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE", bare_database_url)
    assert main(["verify-journal", "--config", str(config)]) == 1
    assert capsys.readouterr().err == "gateway: migrations are pending: run `gateway migrate`\n"
    assert main(["migrate", "--config", str(config)]) == 0
    assert "applied 0001_gateway\n" in capsys.readouterr().out
    assert main(["migrate", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "nothing to do: the database has all migrations\n"


def test_serve_fails_on_an_external_database_with_pending_migrations(
    config: Path, bare_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE", bare_database_url)
    served = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert served.returncode == 1
    assert "migrations are pending (0001_gateway" in served.stderr
    assert served.stderr.count("\n") == 1


LOGGING_GATEWAY = """
import sys
from gateway import app
from gateway.cli import main
from gateway.logs.log import Event, get_logger

async def serve(*_, **__):
    for number in range(30_000):  # of some 100 octets
        get_logger().info(Event.STARTED, port=number)
    return 0

app.serve = serve
sys.exit(main(["serve", "--config", sys.argv[1]]))
"""


def test_serve_ends_though_nobody_reads_its_log(config: Path) -> None:
    pipe = Pipe()
    served = subprocess.run(
        [sys.executable, "-c", LOGGING_GATEWAY, str(config)],
        cwd=ROOT, stdout=pipe.write_end, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    assert (served.returncode, served.stderr) == (0, "")
    reader = pipe.reading()
    pipe.end()
    assert reader.lines() == []


def test_serve_on_a_port_in_use_is_a_one_line_error(config: Path, database_url: str) -> None:
    occupied = socket.create_server(("127.0.0.1", 0))
    port = occupied.getsockname()[1]
    config.write_text(config.read_text().replace("8123", str(port)))
    served = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, env={"GATEWAY_DATABASE": database_url},
    )  # fmt: skip
    occupied.close()
    assert served.returncode == 1
    assert served.stderr == f"gateway: cannot serve on 127.0.0.1:{port}: Address already in use\n"
    assert json.loads(served.stdout.splitlines()[-1])["event"] == "failed"


def test_an_unreachable_database_is_one_line_without_its_password(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE", "postgresql://u:database-secret@127.0.0.1:9/x")
    assert main(["migrate", "--config", str(config)]) == 1
    output = capsys.readouterr().err
    assert output.startswith("gateway: the database cannot be reached: ")
    assert output.count("\n") == 1
    assert "database-secret" not in output


async def journal_of_three(database: Database) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    async with database.acquire() as connection:
        await journal.append(
            connection, [journal.Entry(at, None, "made", None, f'{{"n": {n}}}') for n in range(3)]
        )
        await journal.seal(connection)


def verified(config: Path, url: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", "verify-journal", "--json", "--config", str(config), *more],
        cwd=ROOT, capture_output=True, text=True, timeout=30, env={"GATEWAY_DATABASE": url},
    )  # fmt: skip


Verify = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def verify(
    config: Path, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Verify:
    """`await verify("--anchor", …)`: (status, output, errors) of the command, without a process for it."""
    monkeypatch.setenv("GATEWAY_DATABASE", database.url)

    async def verify(*more: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["verify-journal", "--json", "--config", str(config), *more])
        return status, *capsys.readouterr()

    return verify


async def test_verify_journal_reports_a_valid_journal(config: Path, database: Database) -> None:
    await journal_of_three(database)
    checked = verified(config, database.url)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["entries"] == 3
    shown = json.loads(checked.stdout)
    assert (shown["fault"], shown["cases"], shown["rows"]) == (None, 0, [])


async def test_verify_journal_reports_an_anchor_that_is_not_in_the_journal(
    database: Database, verify: Verify
) -> None:
    await journal_of_three(database)
    _, out, _ = await verify()
    root = json.loads(out)["root"]
    assert (await verify("--anchor", f"3:{root}"))[0] == 0
    status, out, _ = await verify("--anchor", f"3:{root}", "--anchor", f"4:{root}")
    fault = {"seq": 4, "reason": "missing, though an anchor covers it"}
    assert (status, json.loads(out)["fault"]) == (1, fault)


@pytest.mark.parametrize("anchor", ["3", f"{10**18}:{'0' * 64}", f"٣:{'0' * 64}", f"3:{'0' * 64}0"])
def test_verify_journal_rejects_a_malformed_anchor(capsys: pytest.CaptureFixture[str], anchor: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify-journal", "--anchor", anchor])
    assert (ended.value.code, "SEQ:ROOT" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("change", ["event = 'x'", "at = 'infinity'", "detail = '[]'", "event_id = ''"])
async def test_verify_journal_names_the_first_wrong_entry(database: Database, verify: Verify, change: str) -> None:
    await journal_of_three(database)
    connection = await asyncpg.connect(database.url)
    await connection.execute(
        f"ALTER TABLE journal DISABLE TRIGGER USER; UPDATE journal SET {change} WHERE seq = 2"
    )
    await connection.close()
    status, out, errors = await verify()
    assert (status, errors) == (1, "")
    assert json.loads(out)["fault"]["seq"] == 2


async def test_verify_journal_names_a_case_whose_rows_are_not_what_the_journal_says(
    config: Path, database: Database
) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    async with database.acquire() as connection:
        await journal.append(connection, [journal.Entry(at, "a-case", "received", "an-id", "{}")])
    checked = verified(config, database.url)
    shown = json.loads(checked.stdout)
    assert (checked.returncode, checked.stderr, shown["fault"], shown["cases"]) == (1, "", None, 0)
    assert shown["rows"] == [{"case_id": "a-case", "pointer": "/case", "reason": "is missing"}]


# verify-evidence

EVIDENCE = ROOT / "tests" / "fixtures" / "v0_1_0" / "evidence.json"


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (b'"seal":', b'"seal": "", "seal":', "gateway: {file} has the key 'seal' twice in one object"),
        (b'"seal":', b'"seal"', "gateway: {file} is not JSON"),
        (b'"seal":', b'"note": "", "seal":', ": has the unknown field 'note'"),
        (b'"voucher_issued"', b'"consented"', "/seal: does not fit the record: something in it was changed"),
        (b'"octets": "00', b'"octets": "0', "/replies/1/octets: is not spelt as the gateway does"),
    ],
)
def test_verify_evidence_names_what_does_not_hold_in_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: bytes, after: bytes, line: str
) -> None:
    file, octets = tmp_path / "record.json", EVIDENCE.read_bytes()
    assert before in octets
    file.write_bytes(octets.replace(before, after, 1))
    assert main(["verify-evidence", str(file)]) == 1
    shown = capsys.readouterr()
    assert line.format(file=file) in (shown.out + shown.err).splitlines()


def test_verify_evidence_accepts_a_record_of_0_1_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-evidence", str(EVIDENCE)]) == 0
    assert capsys.readouterr().out.startswith(
        "the record of case 01M2SN7EJJ2SGM2TH56F76A411 (voucher_issued) holds"
    )


# preview


def preview(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert main(["preview", "--json", "--config", str(config), *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_preview_shows_the_lengths_and_segments_of_the_order(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {(text["text"], text["language"]): text for text in preview(config, capsys)["texts"]}
    measured = {
        name: (texts[name, "kk"]["length"], texts[name, "kk"]["segments"])
        for name in ("request", "refused", "agreed")
    }
    assert measured == {
        "request": (1014, {"kcell": 16}),
        "refused": (28, {"kcell": 1}),
        "agreed": (233, {"kcell": 4}),
    }
    assert {text["encoding"] for text in texts.values()} == {"UCS-2"}


def test_preview_counts_the_segments_of_typical_families(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cost = preview(config, capsys, "--families", "2250")["cost"]
    assert (cost["requests"], cost["repeats"], cost["consents"]) == (36_000, 36_000, 9_000)
    assert (cost["tps"], cost["hours"], cost["days"]) == (100, 0.1, 1)


@pytest.mark.parametrize("zipped", [False, True])
def test_preview_counts_the_segments_of_a_list_by_its_names_and_languages(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    names = {"surname": "Ә" * 60, "given_name": "Ә" * 60}
    records = [RECORD, {**RECORD, "language": "ru"}, {**RECORD, "mother": {"iin": "870312497005", **names}}, "?"]
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    path = tmp_path / "list.ndjson"
    path.write_bytes(gzip.compress(lines) if zipped else lines)
    cost = preview(config, capsys, str(path))["cost"]
    assert (cost["families"], cost["rejected_lines"]) == (3, 1)
    assert cost["requests"] == 16 + 15 + 17
    assert cost["consents"] == 12


def test_preview_counts_the_most_segments_of_all_links(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with config.open("a") as file:
        file.write(LINK.format(name="other", tps=0, long_messages="payload"))
    shown = preview(config, capsys, "--families", "1")
    assert shown["texts"][0]["segments"] == {"kcell": 16, "other": 16}
    assert (shown["cost"]["requests"], shown["cost"]["tps"], shown["cost"]["hours"]) == (16, None, None)


def test_preview_without_json_shows_texts_and_cost(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "Сіз қызметтен бас тарттыңыз." in shown
    assert "request (kk)" in shown
    assert "16 segments" in shown
    assert "16,000" in shown
    assert "at 100 segments a second" in shown


def test_preview_of_an_unknown_service_is_a_one_line_error(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", "--config", str(config), "--service", "9"]) == 1
    assert capsys.readouterr().err == "gateway: there is no service 9; there are 3\n"


# where the running gateway is


def arguments(config: Path, url: str | None = None) -> Namespace:
    return Namespace(config=str(config), url=url)


def test_the_address_comes_from_the_argument_then_the_environment_then_the_file(config: Path) -> None:
    environ = {"GATEWAY_URL": "http://from-environment/"}
    assert address_of(arguments(config, "http://from-argument"), "ops", environ).url == "http://from-argument"
    assert address_of(arguments(config), "ops", environ).url == "http://from-environment"
    assert address_of(arguments(config), "ops", {}).url == "http://127.0.0.1:8123"


def test_the_token_comes_from_the_environment_then_the_file(config: Path) -> None:
    assert address_of(arguments(config), "ops", {"GATEWAY_TOKEN": "given"}).token == "given"
    assert address_of(arguments(config), "ops", {}).token == "ops-token-of-tests"
    assert address_of(arguments(config), "sdu", {}).token == "sdu-token-of-tests"


def test_no_file_is_needed_with_address_and_token_in_the_environment(tmp_path: Path) -> None:
    environ = {"GATEWAY_URL": "https://gateway", "GATEWAY_TOKEN": "given"}
    assert address_of(arguments(tmp_path / "none.toml"), "ops", environ).url == "https://gateway"


def test_a_gateway_that_listens_on_all_addresses_is_called_on_localhost(config: Path) -> None:
    config.write_text(config.read_text().replace("port = 8123", 'port = 8123\nhost = "::"'))
    assert address_of(arguments(config), "ops", {}).url == "http://[::1]:8123"


def test_a_missing_address_or_token_is_an_error_that_names_it(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        address_of(arguments(tmp_path / "none.toml"), "ops", {"GATEWAY_TOKEN": "given"})
    with pytest.raises(CommandError, match="no token: set GATEWAY_TOKEN"):
        address_of(arguments(tmp_path / "none.toml"), "ops", {"GATEWAY_URL": "http://x"})
    config.write_text(config.read_text().replace('"ops-token-of-tests"', '"env:NOT_SET"').replace("8123", "0"))
    with pytest.raises(CommandError, match="give the address by --url"):
        address_of(arguments(config), "ops", {})
    with pytest.raises(CommandError, match=r"http\.tokens\.ops"):
        address_of(arguments(config, "http://x"), "ops", {})


@pytest.mark.parametrize(
    "options",
    [["lists"], ["status", "a"], ["case", "a"], ["links"], ["cancel", "a"], ["release", "a"], ["resend", "a"]],
)
def test_a_gateway_that_is_not_running_is_a_one_line_error(
    config: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--config", str(config), "--url", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err == (
        "gateway: no gateway responds at http://127.0.0.1:9 (Connection refused): "
        "is it running? Set --url or GATEWAY_URL\n"
    )


def test_an_invalid_address_is_a_one_line_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lists", "--config", str(config), "--url", "gateway"]) == 1
    told = "the address 'gateway' has no scheme: write http://gateway or https://gateway"
    assert capsys.readouterr().err == f"gateway: {told}\n"


def test_pushing_a_missing_file_is_a_one_line_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "--config", str(config), "no-such.ndjson"]) == 1
    assert capsys.readouterr().err == "gateway: no-such.ndjson cannot be read: No such file or directory\n"
    assert main(["push", "--config", str(config), "a list.ndjson"]) == 1
    assert "'a list' is no list_id: name one by --list-id" in capsys.readouterr().err
