"""`gateway completion`: the shells complete commands, options, choices and files with its scripts."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli import main

_BASH = """
compopt() { :; }
complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gateway; printf '%s\\n' "${COMPREPLY[*]}"; }
"""

CASES = [
    (("gateway", "rehe"), {"rehearse"}),
    (("gateway", "simulate", "s"), {"smsc", "sdu"}),
    (("gateway", "simulate", "smsc", "--excl"), {"--exclusive"}),
    (("gateway", "tail", "--level", "w"), {"warning"}),
    (("gateway", "tail", "--level", "warning", "--ca"), {"--case"}),
    (("gateway", "completion", ""), {"bash", "zsh", "fish"}),
    (("gateway", "push", "{folder}/li"), {"{folder}/list.ndjson"}),
    (("gateway", "check-config", "--config", "{folder}/con"), {"{folder}/config.toml"}),
    (("gateway", "status", "--config", "{folder}/config.toml", "--js"), {"--json"}),
    (("gateway", "cancel", "--reason", "push", "--y"), {"--yes"}),  # a value that is the name of a command
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.toml", "list.ndjson"):
        (tmp_path / name).touch()
    return tmp_path


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def completed(shell: str, text: str) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    run = subprocess.run([shell, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_bash_completion_offers_commands_options_and_choices(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [shlex.join(("complete_line", *(word.format(folder=folder) for word in words))) for words, _ in CASES]
    shown = completed("bash", "\n".join([script("bash", capsys), _BASH, *lines]))
    expected = [{word.format(folder=folder) for word in words} for _, words in CASES]
    assert [set(line.split()) for line in shown] == expected


def test_fish_completion_offers_commands_options_and_choices(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [shlex.quote(" ".join(words).format(folder=folder)) for words, _ in CASES]
    shown = completed("fish", "\n".join([script("fish", capsys), *(f"complete -C {one}; echo" for one in lines)]))
    found = [{one.split("\t")[0] for one in part.splitlines() if one} for part in "\n".join(shown).split("\n\n")]
    assert found == [{word.format(folder=folder) for word in words} for _, words in CASES]


def test_the_zsh_script_is_one_of_a_completion_function(capsys: pytest.CaptureFixture[str]) -> None:
    text = script("zsh", capsys)
    assert text.startswith("#compdef gateway\n")
    assert completed("zsh", f"compdef() {{ print -- $@; }}\n{text}") == ["_gateway gateway"]


def test_every_command_is_in_every_completion_script(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    help_ = capsys.readouterr().out
    commands = [line.split()[0] for line in help_.splitlines() if line.startswith("    ") and line[4] != " "]
    assert {"serve", "rehearse", "simulate"} <= set(commands)
    for shell in ("bash", "zsh", "fish"):
        text = script(shell, capsys)
        assert [name for name in commands if f"gateway {name}" not in text] == []


def test_completion_rejects_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["completion", "tcsh"])
    assert stopped.value.code == 2
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
