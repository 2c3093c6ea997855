"""`gateway init`: asks, writes config.toml and its secrets, overwrites nothing, and tries the partners."""

import io
import json
import os
import pty
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from ports import free_port

from gateway.cli import main
from gateway.cli.partner_checks import check_partners
from gateway.config import ConfigError, load
from gateway.resources import EXAMPLE_CONFIG
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]

ANSWERS = (
    "", "", "80800", "8443", "", "https://example.kz/wallet",  # database, HTTP (a wrong port first), tokens, link
    "https://mcb.example", "mcb-secret", "https://wallet.example", "env:WALLET_OUT",
    "https://sdu.example", "file:sdu-token", "make",
    "kcell", "smsc.example", "", "", "kcellpwd", "", "", "50", "y",
    "beeline", "smsc2.example", "3550", "gw", "env:BEELINE_PASSWORD", "", "705, 777", "", "n",
    "n",  # try the partners
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def asked(path: Path, monkeypatch: pytest.MonkeyPatch, *answers: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
    return main(["init", "--config", str(path)])


def modes(folder: Path) -> dict[str, int]:
    return {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()}


def test_the_answers_of_a_person_make_a_valid_configuration(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert asked(path, monkeypatch, *ANSWERS) == 0
    assert "a whole number from 1 to 65535 is needed" in capsys.readouterr().out
    (path.parent / "sdu-token").write_text("t", encoding="utf-8")
    config = load(path, environ={"WALLET_OUT": "w", "BEELINE_PASSWORD": "b"})
    assert (config.http.port, config.services["3"].link) == (8443, "https://example.kz/wallet")
    assert (config.mcb.token, config.wallet.token, config.sdu.token) == ("mcb-secret", "w", "t")
    assert config.sdu.signing_secret.startswith("whsec_")
    kcell, beeline = config.links
    assert (kcell.host, kcell.port, kcell.password, kcell.tps) == ("smsc.example", 2775, "kcellpwd", 50)
    assert (beeline.port, beeline.system_id, beeline.prefixes, beeline.tps) == (3550, "gw", ("705", "777"), 100)


def test_secrets_are_in_files_for_their_owner_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert asked(path, monkeypatch, *ANSWERS) == 0
    text, shown = path.read_text(encoding="utf-8"), capsys.readouterr()
    assert set(modes(path.parent / "secrets").values()) == {0o600}
    assert modes(path.parent) == {"config.toml": 0o600, "secrets": 0o700}
    tokens = [one.read_text(encoding="utf-8").strip() for one in (path.parent / "secrets").glob("*-token")]
    for secret in ("kcellpwd", "mcb-secret", "whsec_", *tokens):
        assert not any(secret in one for one in (text.replace("whsec_ and base64", ""), shown.err))
    assert not any(token in shown.out for token in tokens)


def test_the_defaults_are_the_example_with_its_comments(path: Path, capsys: Captured) -> None:
    assert main(["init", "--yes", "--config", str(path)]) == 0
    written = path.read_text(encoding="utf-8")
    example = EXAMPLE_CONFIG.read_text(encoding="utf-8")
    assert [line.partition(" #")[2] for line in written.splitlines() if " #" in line][3:20] == [
        line.partition(" #")[2] for line in example.splitlines() if " #" in line
    ][3:20]
    ours, theirs = tomllib.loads(written), tomllib.loads(example)
    ours["http"].pop("tokens"), theirs["http"].pop("tokens")
    assert ours == theirs
    assert "KCELL_PASSWORD is not set" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        load(path, environ={})


def test_nothing_that_exists_is_overwritten_without_force_and_no_token_with_it(
    path: Path, capsys: Captured
) -> None:
    assert main(["init", "--yes", "--config", str(path)]) == 0
    token = (path.parent / "secrets" / "ops-token").read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert main(["init", "--yes", "--config", str(path)]) == 1
    assert path.read_text(encoding="utf-8") == "mine"
    assert "exists: name another place by --config, or overwrite it by --force" in capsys.readouterr().err
    assert main(["init", "--yes", "--force", "--config", str(path)]) == 0
    assert load(path, secrets=False).links[0].name == "kcell"
    assert (path.parent / "secrets" / "ops-token").read_text(encoding="utf-8") == token


def test_a_secret_that_exists_is_not_overwritten(path: Path, capsys: Captured) -> None:
    answers = path.parent / "answers.toml"
    answers.write_text('[mcb]\ntoken = "new"', encoding="utf-8")
    (path.parent / "secrets").mkdir()
    (path.parent / "secrets" / "mcb-token").write_text("old", encoding="utf-8")
    assert main(["init", "--answers", str(answers), "--config", str(path)]) == 1
    assert not path.exists()
    assert (path.parent / "secrets" / "mcb-token").read_text(encoding="utf-8") == "old"


def test_init_reads_the_answers_of_a_file(path: Path, capsys: Captured) -> None:
    answers = path.parent / "answers.toml"
    answers.write_text(
        'tokens = false\n[gateway]\ndatabase = "postgresql://u:pw@db/x"\n[services.3]\nlink = "https://a.kz"\n'
        '[[links]]\nname = "a"\ntps = 2.5\nprefixes = ["701"]\n[[links]]\nname = "b"\nport = 2776\n',
        encoding="utf-8",
    )
    assert main(["init", "--answers", str(answers), "--json", "--config", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["secrets"] == [str(path.parent / "secrets" / "database")]
    assert {fault["key"] for fault in found["missing"]} >= {"links.a.password", "http.tokens.sdu"}
    config = load(path, secrets=False)
    assert config.gateway.database == "postgresql://u:pw@db/x"
    assert "pw" not in path.read_text(encoding="utf-8").replace("password", "")
    assert [(link.name, link.port, link.tps, link.prefixes) for link in config.links] == [
        ("a", 2775, 2.5, ("701",)), ("b", 2776, 100, ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mcb]\nurl = 'mcb.example'", "mcb.url: http://HOST or https://HOST is needed, not 'mcb.example'"),
        ("[mcb]\nbatch = 7", "mcb.batch: nobody asks for that"),
        ("[[links]]\nname = 'a'\n[[links]]\nname = 'a'", "there are two links a"),
        ("[[links]]\nport = 'x'", "port: a whole number from 1 to 65535 is needed, not 'x'"),
        ("links = 3", "write each link as a table [[links]]"),
        ("x =", "is not TOML"),
    ],
)
def test_invalid_answers_of_a_file_are_reported_and_init_writes_nothing(
    path: Path, capsys: Captured, text: str, said: str
) -> None:
    answers = path.parent / "answers.toml"
    answers.write_text(text, encoding="utf-8")
    assert main(["init", "--answers", str(answers), "--config", str(path)]) == 1
    assert said in capsys.readouterr().err
    assert [one.name for one in path.parent.iterdir()] == ["answers.toml"]


def test_init_writes_nothing_when_its_input_ends_early(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert asked(path, monkeypatch, "", "") == 1
    assert "the input has ended, nothing was written" in capsys.readouterr().err
    assert not list(path.parent.iterdir())


def test_a_secret_is_not_shown_on_a_terminal(path: Path) -> None:
    terminal, child = pty.openpty()
    command = [sys.executable, "-P", "-m", "gateway", "init", "--config", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True
    ) as init:
        os.close(child)
        shown = b""
        for prompt, answer in ((b"Database", b""), (b"Address", b""), (b"Port", b""), (b"Make tokens", b""),
                               (b"Link in", b""), (b"MCB: address", b""), (b"MCB: token", b"hidden")):  # fmt: skip
            while prompt not in shown or not shown.endswith(b": "):
                shown += os.read(terminal, 4096)
            os.write(terminal, answer + b"\n")
            shown += b" "
        while b"Wallet: address" not in shown:
            shown += os.read(terminal, 4096)
        init.kill()
    os.close(terminal)
    assert b"hidden" not in shown
    assert not path.exists()


async def test_partners_that_run_are_reached_and_links_bind(path: Path, database_url: str) -> None:
    assert main(["init", "--yes", "--config", str(path)]) == 0
    config = load(path, secrets=False)
    async with (
        McbSimulator() as mcb, WalletSimulator() as wallet, SduSimulator() as sdu,
        SmscSimulator(password="secret") as smsc,
    ):  # fmt: skip
        (link,) = config.links
        good = replace(link, port=smsc.port, password="secret")
        running = replace(
            config,
            gateway=replace(config.gateway, database=database_url),
            mcb=replace(config.mcb, url=mcb.url),
            wallet=replace(config.wallet, url=wallet.url),
            sdu=replace(config.sdu, url=sdu.url),
            links=(good, replace(good, name="wrong", password="wrong")),
        )
        found = {check.partner: check for check in await check_partners(running)}
        assert not smsc.messages
    wrong = found.pop("link wrong")
    assert all(check.holds for check in found.values()), found
    assert (found["database"].todo, found["link kcell"].found) == ("", "bound to SMSC")
    assert not wrong.holds
    assert "ESME_RINVPASWD" in wrong.found


async def test_partners_that_do_not_run_are_told_with_what_to_do(path: Path) -> None:
    assert main(["init", "--yes", "--config", str(path)]) == 0
    config = load(path, secrets=False)
    (link,) = config.links
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with SmscSimulator() as smsc:  # it speaks no HTTP
        away = replace(
            config,
            gateway=replace(config.gateway, database=f"postgresql://u:pw@127.0.0.1:{free_port()}/x"),
            mcb=replace(config.mcb, url=nowhere),
            wallet=replace(config.wallet, url=f"https://127.0.0.1:{smsc.port}"),
            links=(link, replace(link, name="away", password="p", port=free_port())),
        )
        checks = await check_partners(away)
    found = {check.partner: check for check in checks}
    assert found.pop("SDU").holds, "it pulls"
    assert all(not check.holds and check.found and check.todo for check in found.values()), found
    assert "Connection refused" in found["MCB"].found
    assert "pw" not in found["database"].found
    assert found["link kcell"].found == "not tried: its password is missing"
    assert "cannot be reached" in found["link away"].found
