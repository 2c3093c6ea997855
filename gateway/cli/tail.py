"""`gateway tail`: log lines from standard input, formatted for reading."""

import argparse
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from rich.text import Text

from gateway.cli.log_lines import MAX_LABEL_CHARACTERS, Line, as_json, lines, printable
from gateway.cli.terminal import console

LEVELS = ("debug", "info", "warning", "error", "critical")
_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_FIRST = ("at", "level", "event", "version")  # in a form of their own; the version not at all
_MAX_FIELDS = 100
_MAX_VALUE_CHARACTERS = 2_000
_MAX_CAUSES = 5
_MAX_FRAMES = 100


def add_options(command: ArgumentParser) -> None:
    """Adds the filters of `gateway tail`; a line is shown when all that are given let it through."""
    command.add_argument("--level", choices=LEVELS, default="debug", help="lines of lower levels are left out")
    command.add_argument(
        "--event", metavar="NAME", action="append", help="this event only, also case_* and the like; repeatable"
    )
    command.add_argument("--case", metavar="CASE", help="lines about this case only")
    command.add_argument("--link", metavar="LINK", help="lines about this link only")
    command.add_argument(
        "--grep", metavar="REGEX", type=_pattern, help="lines in which it is found as they are shown"
    )
    command.add_argument("--json", action="store_true", help="pass on the objects alone, without prefixes")


def tail(arguments: Namespace) -> int:
    """Prints each line as it comes; one that is no line of the log as it is, in printable characters."""
    terminal = console()
    for line in lines(sys.stdin.buffer):
        if not _is_wanted(line, arguments):
            continue
        text = shown(line)
        if arguments.grep and not arguments.grep.search(text.plain):
            continue
        if not arguments.json:
            terminal.print(text, soft_wrap=True)
        elif line.record is not None and (passed := as_json(line.record)) is not None:
            sys.stdout.write(f"{passed}\n")
            sys.stdout.flush()
    return 0


def shown(line: Line) -> Text:
    """The line for reading, in printable characters; an exception takes further lines."""
    return _other(line) if line.record is None else _formatted(line, line.record)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


def _is_wanted(line: Line, arguments: Namespace) -> bool:
    record = line.record
    if record is None:  # it has no level, but is not of an event, a case or a link
        return not (arguments.event or arguments.case or arguments.link)
    level = record.get("level")
    if level in LEVELS and LEVELS.index(level) < LEVELS.index(arguments.level):
        return False
    if arguments.event and not any(fnmatchcase(str(record["event"]), name) for name in arguments.event):
        return False
    wanted = (("case_id", arguments.case), ("link", arguments.link))
    return all(value is None or record.get(name) == value for name, value in wanted)


def _other(line: Line) -> Text:
    text = Text()
    if line.label and not line.text.startswith((line.label, f"[{line.label}")):
        text.append(f"{printable(line.label, MAX_LABEL_CHARACTERS)} ", "magenta")
    return text.append(printable(line.text))


def _formatted(line: Line, record: Mapping[str, Any]) -> Text:
    level = printable(str(record.get("level", "")), MAX_LABEL_CHARACTERS)
    text = Text()
    text.append(printable(str(record.get("at", "")))[11:23], "dim")  # the time of day of an RFC 3339 instant
    text.append(f" {level:<8} ", _STYLES.get(level, ""))
    if line.label:
        text.append(f"{printable(line.label, MAX_LABEL_CHARACTERS)} ", "magenta")
    text.append(_value(record["event"]), "bold")
    fields = [(key, value) for key, value in record.items() if key not in _FIRST and key != "exception"]
    for key, value in fields[:_MAX_FIELDS]:
        text.append(f" {printable(key, MAX_LABEL_CHARACTERS)}=", "cyan")
        text.append(_value(value))
    if len(fields) > _MAX_FIELDS:
        text.append(" …")
    _append_exception(text, record.get("exception"), "raised", _MAX_CAUSES)
    return text


def _value(value: object) -> str:
    text = value if isinstance(value, str) else as_json({"": value})
    if text is None:
        return "…"
    return printable(text if isinstance(value, str) else text[len('{"":') : -1], _MAX_VALUE_CHARACTERS)


def _append_exception(text: Text, exception: object, how: str, causes: int) -> None:
    """Appends an exception, its frames and what caused it, as gateway/logs/log.py describes them."""
    if not isinstance(exception, dict) or causes < 0:
        return
    text.append(f"\n    {how} {_value(exception.get('error'))}", "red")
    for frame in _listed(exception.get("frames")):
        text.append(f"\n      {_value(frame)}", "dim")
    _append_exception(text, exception.get("cause"), "because of", causes - 1)
    for inner in _listed(exception.get("errors"))[:_MAX_CAUSES]:
        _append_exception(text, inner, "among them", causes - 1)


def _listed(value: object) -> list[Any]:
    return value[:_MAX_FRAMES] if isinstance(value, list) else []
