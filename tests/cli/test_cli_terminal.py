"""What a person at a terminal meets: tables of 80 columns, questions, addresses and numbers that are wrong."""

import asyncio
import gzip
import io
import json
import re
import ssl
import subprocess
import sys
import tracemalloc
from argparse import Namespace
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import ask, main
from gateway.cli.errors import CommandError
from gateway.cli.push import json_faults
from gateway.cli.remote import address_of
from gateway.cli.terminal import complain, confirm, remark, say, show_json, show_table
from tests.cli.test_cli import CONFIG, LINK, ROOT

Captured = pytest.CaptureFixture[str]
CASE_ID = "01KAN00000000000000000000A"
LIST_ID = "2026-11-22-all-schools-of-the-region-of-Almaty"
INSTANT = "2026-11-22T10:15:03.512+05:00"


class Terminal(io.StringIO):
    """A terminal that is read from or written to."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output from now on: a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    return terminal


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + LINK.format(name="kcell", tps=100, long_messages="udh8"), encoding="utf-8")
    return str(path)


# characters

HOSTILE = "\x1b]0;x\x07\x1b[2J\x9b31m\r\x00\x7f\u202e\u2028\u200b\U000e0041"


def test_no_foreign_text_changes_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stderr", terminal)
    say(f"Айгүл\u00a0Ахметова {HOSTILE}")
    complain(HOSTILE + "\ngateway: all is well")
    remark(HOSTILE)
    show_table("Cases", ("id", "reason", "detail"), [(1, HOSTILE + "\n", {HOSTILE: [HOSTILE]})], empty="")
    show_table("Cases", ("id", "reason"), [(1, HOSTILE * 30)], empty="")
    show_json({"reason": HOSTILE})
    shown = terminal.getvalue()
    assert [line for line in shown.splitlines() if not line.replace("\u00a0", "").isprintable()] == []
    assert "gateway: all is well" not in shown.splitlines()
    assert json.loads(shown.splitlines()[-1]) == {"reason": HOSTILE}
    assert "Айгүл\u00a0Ахметова" in shown


# tables


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (
            ("list_id", "records", "accepted", "duplicates", "rejected", "received_at"),
            (LIST_ID, 1, 1, 0, 0, INSTANT),
        ),
        (
            ("case_id", "list_id", "record_id", "state", "opened_at"),
            (CASE_ID, LIST_ID, "r" * 64, "asked", INSTANT),
        ),
        (("case_id", "reason"), (CASE_ID, "the base refuses this person with a long sentence " * 3)),
        (("seq", "at", "event", "detail"), (48_213, INSTANT, "number_found", {"msisdn_digest": "5" * 64})),
    ],
)
def test_no_id_is_broken_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...], row: tuple[object, ...]
) -> None:
    shown = on_a_terminal(monkeypatch)
    show_table("A table", columns, [row], empty="")
    output = shown.getvalue()
    for name, value in zip(columns, row, strict=True):
        assert name in output
        if isinstance(value, str) and " " not in value and value != INSTANT:
            assert value in output
    assert INSTANT not in row or "2026-11-22 10:15:03+05" in output


def test_a_list_of_usual_names_is_a_table_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch)
    columns = ("list_id", "service", "records", "accepted", "duplicates", "rejected")
    show_table("List", columns, [("2026-11-22-a", "3", 5_000_000, 4_999_000, 0, 1_000)], empty="")
    assert all(len(line) <= 80 for line in shown.getvalue().splitlines())
    assert "┃" in shown.getvalue()


# questions


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("YES\n", True), ("\n", False), ("", False)])
def test_an_act_that_cannot_be_undone_is_confirmed_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, answer: str, goes_on: bool
) -> None:
    shown = on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    arguments = Namespace(yes=False, json=False)
    if goes_on:
        confirm("Cancel it?", arguments)
    else:
        with pytest.raises(CommandError, match="nothing was done"):
            confirm("Cancel it?", arguments)
    assert shown.getvalue() == "Cancel it? [y/N] "


@pytest.mark.parametrize(
    ("yes", "as_json", "terminal"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_a_command_asks_no_confirmation_with_yes_or_json_or_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, yes: bool, as_json: bool, terminal: bool
) -> None:
    shown = on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdin", Terminal("no") if terminal else io.StringIO("no"))
    confirm("Cancel it?", Namespace(yes=yes, json=as_json))
    assert shown.getvalue() == ""


@pytest.mark.parametrize("words", [["cancel", CASE_ID], ["release", "--all"]])
def test_cancel_and_release_all_ask_before_anything_is_requested(
    words: list[str], config: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    shown = on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main([*words, "--config", config, "--url", "http://127.0.0.1:9"]) == 1
    assert "[y/N]" in shown.getvalue()
    assert capsys.readouterr().err == "gateway: nothing was done; answer y, or give --yes\n"


# addresses


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:18080", "has no scheme: write http://127.0.0.1:18080 or https://127.0.0.1:18080"),
        ("gateway", "has no scheme: write http://gateway or https://gateway"),
        ("ftp://gateway:21", "has another scheme: write http://gateway:21 or https://gateway:21"),
        ("http://", "write http://HOST:PORT"),
        ("http://gateway:port", "write http://HOST:PORT"),
    ],
)
def test_an_invalid_gateway_url_is_reported_with_a_valid_form(config: str, url: str, told: str) -> None:
    with pytest.raises(CommandError) as error:
        address_of(Namespace(config=config, url=url), "ops", {"GATEWAY_TOKEN": "a token"})
    assert told in str(error.value)
    with pytest.raises(CommandError):
        address_of(Namespace(config=config, url=None), "ops", {"GATEWAY_TOKEN": "a token", "GATEWAY_URL": url})


async def refused(url: str) -> str:
    """What `gateway lists` says about this address."""
    with pytest.raises(CommandError) as error:
        await ask._get(Namespace(config="", url=url), "lists")
    return str(error.value)


@pytest.mark.parametrize("responds", [True, False])
async def test_https_to_a_plain_http_gateway_is_reported(responds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "a token")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if responds:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert f"if the gateway serves without TLS, use http://{host}" in await refused(f"https://{host}")


async def test_plain_http_to_a_tls_gateway_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "a token")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate: no handshake is begun
    async with await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls
    ) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert f"if the gateway serves TLS, use https://{host}" in await refused(f"http://{host}")


# numbers, states, output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["preview", "--families", "-5"], "a whole number from 1 is expected, not '-5'"),
        (["preview", "--families", "many"], "a whole number from 1 is expected, not 'many'"),
        (["cases", "a", "--limit", "0"], "a whole number from 1 is expected, not '0'"),
        (["demo", "--day", "0"], "a number of seconds from 0.1 to 86,400 is expected, not '0'"),
        (["demo", "--day", "nan"], "a number of seconds from 0.1"),
        (["demo", "--families", "0"], "a whole number from 1 is expected, not '0'"),
        (["link-test", "kcell", "--to", "1", "--wait", "-1"], "a number of seconds from 0.1"),
        (["simulate", "smsc", "--port", "70000"], "a whole number from 0 to 65535 is expected"),
        (["simulate", "mcb", "--latency", "-1"], "a number of seconds from 0"),
    ],
)
def test_an_option_outside_its_limits_is_reported(words: list[str], told: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as invalid:
        main(words)
    assert invalid.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "told"),
    [("consentd", "did you mean consented? There are"), ("lost", "there are looking_up, queued")],
)
def test_an_unknown_state_is_reported_with_the_valid_ones(
    config: str, state: str, told: str, capsys: Captured
) -> None:
    assert main(["cases", "a", "--state", state, "--config", config]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("zipped", [False, True])
def test_a_line_that_is_no_json_is_shown_with_its_column(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "list"
    content = b'\xef\xbb\xbf{"a" 1}\n{}\n[1]\n{"a": 1},\n'
    path.write_bytes(gzip.compress(content) if zipped else content)
    faults = json_faults(path, {1, 3, 4})
    assert faults.keys() == {1, 4}
    assert faults[1].startswith("no JSON from column 6 on: ")
    assert faults[4].startswith("no JSON from column 9 on: ")


def test_a_line_that_gzip_makes_of_nothing_is_not_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "list"
    longest = b"{}\n" + bytes(64 << 20)
    path.write_bytes(gzip.compress(longest + b"\nno json\n") + gzip.compress(b"{}\n")[:-8])
    tracemalloc.start()
    try:
        assert json_faults(path, {3, 4}).keys() == {3}
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    path.unlink()
    assert json_faults(path, {3}) == {}


def test_check_config_as_json_has_the_faults_and_warnings_by_key(config: str, capsys: Captured) -> None:
    assert main(["check-config", "--config", config, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["valid"], shown["faults"]) == (True, [])
    assert [warning["key"] for warning in shown["warnings"]] == ["http.tokens.ops", "services.3.link"]
    with Path(config).open("a") as file:
        file.write("window = 0\n")
    assert main(["check-config", "--config", config, "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert [fault["key"] for fault in shown["faults"]] == ["links.kcell.window"]


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("https://egovmobile.page.link/socwallet", True),
        ("EGOV.PAGE.LINK./x", True),
        ("https://page.link", True),
        ("https://homepage.link/socwallet", False),
        ("https://example.kz/page.link", False),
    ],
)
def test_check_config_warns_of_a_link_that_was_shut_down(
    config: str, link: str, dead: bool, capsys: Captured
) -> None:
    path = Path(config)
    path.write_text(path.read_text().replace("https://egovmobile.page.link/socwallet", link))
    assert main(["check-config", "--config", config]) == 0
    assert ("services.3.link: " in capsys.readouterr().err) == dead


@pytest.mark.parametrize(("token", "short"), [("x", True), ("fifteen-letters", True), ("sixteen-letters!", False)])
def test_check_config_warns_of_a_token_that_can_be_guessed(
    config: str, token: str, short: bool, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    path = Path(config)
    path.write_text(re.sub(r'(?m)^ops = .*$|ops = "[^"]*"', 'ops = "env:SHORT_OPS_TOKEN"', path.read_text()))
    monkeypatch.setenv("SHORT_OPS_TOKEN", token)
    assert main(["check-config", "--config", config]) == 0
    shown = capsys.readouterr().err
    assert ("http.tokens.ops: a token has fewer than 16 characters" in shown) == short
    assert token not in shown or token == "x"


def test_a_reader_that_leaves_early_gets_no_traceback(config: str) -> None:
    shown = subprocess.run(
        f"{sys.executable} -m gateway preview --json --config {config} | true; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (shown.returncode in (0, 1), shown.stderr) == (True, "")


def test_version_is_that_of_the_package(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"gateway {__version__}\n")


def test_every_command_that_shows_something_takes_json(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"(?m)^    ([a-z][a-z-]+)(?: |$)", capsys.readouterr().out)
    assert {"status", "migrate", "check-config", "evidence"} < set(commands)
    for command in set(commands) - {
        "serve",
        "simulate",
        "demo",
        "completion",
    }:  # they run, or print what is no JSON
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "--json" in capsys.readouterr().out, command
