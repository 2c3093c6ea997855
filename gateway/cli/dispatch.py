"""Runs a command of the command line, and says in one line why it was not carried out."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from gateway.cli import serving
from gateway.cli.commands import Run, program
from gateway.cli.errors import CommandError
from gateway.config import ConfigError
from gateway.store.database import DatabaseError


def main(given: Sequence[str] | None = None) -> int:
    """Runs the command of the arguments; the exit status."""
    words = sys.argv[1:] if given is None else given
    arguments = _parser(words).parse_args(words)
    run: Run = arguments.run
    try:
        status = run(arguments)
        sys.stdout.flush()
        return status
    except ConfigError as error:
        for fault in error.errors:
            _complain(str(fault))
    except (CommandError, DatabaseError) as error:
        _complain(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _leave_standard_output()  # its reader has ended: there is nobody to report to
    return 1


def _parser(words: Sequence[str]) -> ArgumentParser:
    """Of `serve` alone where that is the command: see serving.py."""
    if words[:1] == ["serve"]:
        parser, commands = program()
        serving.add_serve(commands)
        return parser
    from gateway.cli import parser as all_commands

    return all_commands.parser()


def _complain(text: str) -> None:
    """Prints one line on standard error. Imported when needed: `serve` needs no library for tables."""
    from gateway.cli.terminal import complain

    complain(text)


def _leave_standard_output() -> None:
    """Sends what is still to be written nowhere: the reader of a pipe has ended, and Python would report that."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
