"""Output of the commands: tables for people, JSON for programs, errors in one line."""

import re
import sys
import unicodedata
from argparse import Namespace
from collections.abc import Iterable, Sequence

import orjson
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from gateway.cli.errors import CommandError

_FILE_WIDTH = 160  # columns, where the output is no terminal
_MIN_TEXT_WIDTH = 24  # columns for text that may be broken: a reason, a journal entry's detail
_BORDERS_PER_COLUMN = 3
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?([+-]\d\d)(:\d\d)")


def unreadable_database(error: Exception) -> str:
    """The message of a CommandError; the error's own text may quote a row."""
    return f"the database cannot be read ({type(error).__name__}): its log has the rest"


def visible(text: str) -> str:
    """The text with escapes for what would move the cursor, change the terminal, or hide a part of the text.

    Names, reasons and ids come from others: an SMSC may call itself ESC ]0;…
    """
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in text)


def escaped_json(text: str) -> str:
    """JSON of the same value with escapes for the characters that are not printable."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _json_escape(c) for c in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _json_escape(character: str) -> str:
    # Outside strings orjson writes nothing but ASCII.
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def console(*, stderr: bool = False) -> Console:
    """The terminal, or the stream in its place. Created for each use: tests replace the streams."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _FILE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Prints one line, or several lines of ours."""
    console().print(Text("\n".join(map(visible, text.split("\n")))), soft_wrap=True)


def complain(text: str) -> None:
    """Prints one line on standard error."""
    console(stderr=True).print(Text(f"gateway: {visible(text)}"), soft_wrap=True)


def remark(text: str) -> None:
    """Prints one line about progress on standard error."""
    console(stderr=True).print(Text(visible(text), "dim"), soft_wrap=True)


def show_json(value: object) -> None:
    """Prints the value as one line of JSON."""
    sys.stdout.write(escaped_json(orjson.dumps(value).decode()) + "\n")


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Prints a table with numbers to the right, or `empty` when there are no rows.

    Only text with spaces and JSON are broken into lines. Where the rest is too wide for the terminal, each row is
    printed as lines of its own: an id is always one word that can be copied.
    """
    values = list(rows)
    if not values:
        say(empty)
        return
    breakable = [any(_is_breakable(row[i]) for row in values) for i in range(len(columns))]
    cells = [[_cell(value) for value in row] for row in values]
    terminal = console()
    if _narrowest(columns, cells, breakable) > terminal.width:
        _show_rows_apart(title, columns, cells)
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for i, column in enumerate(columns):
        numbers = all(isinstance(row[i], int | float) for row in values)
        justify: JustifyMethod = "right" if numbers else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=not breakable[i])
    for row in cells:
        # Text, not markup: a bracket in a reason stays a bracket.
        table.add_row(*(Text(cell) for cell in row))
    terminal.print(table)


def confirm(question: str, arguments: Namespace) -> None:
    """Asks on a terminal, unless `--yes` or `--json` is given; raises CommandError when the answer is not yes."""
    if arguments.yes or arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done; answer y, or give --yes")


def _is_breakable(value: object) -> bool:
    return isinstance(value, dict | list) or (isinstance(value, str) and " " in value)


def _narrowest(columns: Sequence[str], rows: Sequence[Sequence[str]], breakable: Sequence[bool]) -> int:
    """The columns of the terminal that the table needs without breaking a word."""
    width = 1
    for i, column in enumerate(columns):
        widest = max(cell_len(row[i]) for row in rows)
        width += max(cell_len(column), min(widest, _MIN_TEXT_WIDTH) if breakable[i] else widest)
    return width + _BORDERS_PER_COLUMN * len(columns)


def _show_rows_apart(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console().print(Text(title, "bold"))
    label = max(map(len, columns))
    for row in rows:
        for i, (column, cell) in enumerate(zip(columns, row, strict=True)):
            say(f"{'-' if i == 0 else ' '} {column:<{label}}  {cell}")


def _cell(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case dict() | list():
            return escaped_json(orjson.dumps(value).decode()) if value else ""
        case str():
            return _short(instant) if (instant := _INSTANT.fullmatch(value)) else visible(value)
        case _:
            return visible(str(value))


def _short(instant: re.Match[str]) -> str:
    """Local date and time to the second, and the zone."""
    date, time, hours, minutes = instant.groups()
    return f"{date} {time}{hours}{'' if minutes == ':00' else minutes}"
