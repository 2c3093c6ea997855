"""`gateway tail`: log lines from standard input, formatted for reading."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import orjson
from rich.text import Text

from gateway.cli.terminal import console

LEVELS = ("debug", "info", "warning", "error", "critical")
_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_FIRST = ("at", "level", "event")


def tail(arguments: Namespace) -> int:
    """Prints each line as it comes; one that is no line of the log is printed unchanged."""
    terminal = console()
    shown = LEVELS[LEVELS.index(arguments.level) :]
    for line in sys.stdin:
        record = _record(line)
        if record is None:
            terminal.print(Text(line.rstrip("\n")), soft_wrap=True)
        elif record.get("level") in shown:
            terminal.print(_line(record), soft_wrap=True)
    return 0


def _record(line: str) -> Mapping[str, Any] | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and "event" in record else None


def _line(record: Mapping[str, Any]) -> Text:
    level = str(record.get("level", ""))
    line = Text()
    line.append(str(record.get("at", ""))[11:23], "dim")  # the time of day of an RFC 3339 instant
    line.append(f" {level:<8} ", _STYLES.get(level, ""))
    line.append(str(record["event"]), "bold")
    for key, value in record.items():
        if key not in _FIRST and key != "exception":
            line.append(f" {key}=", "cyan")
            line.append(value if isinstance(value, str) else orjson.dumps(value).decode())
    if isinstance(record.get("exception"), dict):
        _append_exception(line, record["exception"], "raised")
    return line


def _append_exception(line: Text, exception: Mapping[str, Any], how: str) -> None:
    line.append(f"\n    {how} {exception.get('error')}", "red")
    for frame in exception.get("frames", []):
        line.append(f"\n      {frame}", "dim")
    if isinstance(exception.get("cause"), dict):
        _append_exception(line, exception["cause"], "because of")
    for inner in exception.get("errors", []):
        _append_exception(line, inner, "among them")
