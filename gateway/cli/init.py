"""`gateway init`: writes config.toml by asking, checks it, and tries the partners."""

import asyncio
import getpass
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from gateway.cli.errors import CommandError
from gateway.cli.init_file import Files, new_signing_secret
from gateway.cli.init_questions import FileOfAnswers, Question, gather
from gateway.cli.partner_checks import Check, check_partners
from gateway.cli.terminal import complain, say, show_json, show_table
from gateway.config import ConfigError, load
from gateway.config.warnings import warnings

_SIGNING_SECRET = "sdu.signing_secret"  # noqa: S105 - a key
_MAKE = "make"


def add_options(command: ArgumentParser) -> None:
    """Adds the options of `gateway init`."""
    how = command.add_mutually_exclusive_group()
    how.add_argument(
        "--answers", metavar="FILE", type=Path, help="TOML with keys of config.toml; nothing is asked"
    )
    how.add_argument("--yes", action="store_true", help="take the defaults; nothing is asked")
    command.add_argument("--force", action="store_true", help="overwrite what exists, but no token made earlier")
    command.add_argument("--check", action="store_true", help="try the database, the partners and the links")


def run(arguments: Namespace) -> int:
    """Status 0 when the file is written and valid but for missing secrets, and what was tried works."""
    path = Path(arguments.config)
    if path.exists() and not arguments.force:
        raise CommandError(f"{path} exists: name another place by --config, or overwrite it by --force")
    files = Files(_answers(arguments))
    files.check(path, force=arguments.force)
    written = files.write(path)
    config = load(path, secrets=False)
    missing, warned = _faults(path), list(warnings(config))
    tried = asyncio.run(check_partners(config)) if _is_check_wanted(arguments) else []
    if arguments.json:
        show_json(
            {
                "written": str(path),
                "secrets": [str(one) for one in written],
                "missing": [{"key": one.key, "message": one.message} for one in missing],
                "warnings": [{"key": one.key, "message": one.message} for one in warned],
                "checks": [one._asdict() for one in tried],
            }
        )
    else:
        _show(path, written, missing, warned, tried)
    return 0 if all(one.holds for one in tried) else 1


def _answers(arguments: Namespace) -> dict[str, object]:
    if arguments.yes or arguments.answers:
        file = FileOfAnswers(arguments.answers)
        answers = gather(file.ask, file.another_link)
        file.check_all_used()
    else:
        say("An empty line takes the value in brackets. Secrets are not shown, and go into files of their own.")
        answers = gather(_asked, _is_another_link_wanted)
    if answers.get(_SIGNING_SECRET) == _MAKE:
        answers[_SIGNING_SECRET] = new_signing_secret()
    return answers


def _asked(question: Question) -> str:
    """The answer of the person, asked again until it fits."""
    while True:
        answer = _line(f"{question.text} [{question.default}]: ", secret=question.secret) or question.default
        if (fault := question.fault(answer)) is None:
            return answer
        say(f"  {fault}")


def _is_another_link_wanted(_links: int) -> bool:
    return _line("Another link? [y/N]: ").lower() in ("y", "yes")


def _is_check_wanted(arguments: Namespace) -> bool:
    if arguments.check or arguments.yes or arguments.answers or arguments.json:
        return bool(arguments.check)
    return _line("Try the database, the partners and the links now? [y/N]: ").lower() in ("y", "yes")


def _line(prompt: str, *, secret: bool = False) -> str:
    """What the person types; raises CommandError at the end of the input."""
    try:
        if secret and sys.stdin.isatty():
            return getpass.getpass(prompt).strip()
        sys.stdout.write(prompt)
        sys.stdout.flush()
        line = sys.stdin.readline()
    except (EOFError, UnicodeDecodeError):
        line = ""
    if not line:
        raise CommandError("the input has ended, nothing was written; --yes takes the defaults, --answers a file")
    return line.strip()


def _faults(path: Path) -> list[ConfigError]:
    """What `serve` would still miss."""
    try:
        load(path)
    except ConfigError as error:
        return list(error.errors)
    return []


def _show(
    path: Path, written: list[Path], missing: list[ConfigError], warned: list[ConfigError], tried: list[Check]
) -> None:
    say(f"{path} is written; every key in it is explained.")
    for one in written:
        say(f"  {one} (for its owner alone)")
    for fault in missing:
        complain(f"before serve: {fault}")
    for warning in warned:
        complain(f"warning: {warning}")
    rows = [(one.partner, "yes" if one.holds else "NO", one.found, one.todo) for one in tried]
    if rows:
        show_table("Partners", ("partner", "works", "found", "what to do"), rows, empty="")
    say(f"Next: gateway check-config --config {path}, then gateway serve --config {path}")
