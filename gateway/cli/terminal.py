"""Output of the commands: tables for people, JSON for programs, errors in one line."""

import sys
from collections.abc import Iterable, Sequence

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_FILE_WIDTH = 160  # columns, where the output is no terminal


class CommandError(Exception):
    """A command cannot be carried out. The message is one line that says what to do."""


def unreadable_database(error: Exception) -> str:
    """The message of a CommandError; the error's own text may quote a row."""
    return f"the database cannot be read ({type(error).__name__}): its log has the rest"


def console(*, stderr: bool = False) -> Console:
    """The terminal, or the stream in its place. Created for each use: tests replace the streams."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _FILE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Prints one line."""
    console().print(Text(text), soft_wrap=True)


def complain(text: str) -> None:
    """Prints one line on standard error."""
    console(stderr=True).print(Text(f"gateway: {text}"), soft_wrap=True)


def show_json(value: object) -> None:
    """Prints the value as one line of JSON."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Prints a table with numbers to the right, or `empty` when there are no rows."""
    rows = list(rows)
    if not rows:
        say(empty)
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for i, column in enumerate(columns):
        numbers = all(isinstance(row[i], int | float) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a bracket in a reason stays a bracket.
        table.add_row(*(Text(_cell(value)) for value in row))
    console().print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case dict() | list():
            return orjson.dumps(value).decode() if value else ""
        case _:
            return str(value)
