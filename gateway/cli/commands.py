"""What the parser of each command has: its name, its help, and the options that several have."""

import argparse
from collections.abc import Callable

from gateway import __version__

Run = Callable[[argparse.Namespace], int]
"""Carries out a command: the exit status for its arguments. May raise CommandError, ConfigError, DatabaseError."""

_EPILOG = """Exit status: 0 done, 1 not done (a fault, a refusal), 2 wrong arguments.
A secret in the environment: GATEWAY_TOKEN, and what config.toml refers to."""


def program() -> "tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]":
    """The parser of `gateway` and where its commands are added."""
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="Asks parents for consent to free school meals by SMS.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    return parser, parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Run,
    summary: str,
    *,
    config: bool = False,
    json: bool = False,
    url: bool = False,
) -> argparse.ArgumentParser:
    """The parser of a command that `run` carries out, with the options that several commands have."""
    command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    command.set_defaults(run=run)
    if config:
        command.add_argument("--config", metavar="FILE", default="config.toml", help="default: config.toml here")
    if url:
        command.add_argument(
            "--url", help="the gateway's address; default: GATEWAY_URL, else the file's host and port"
        )
    if json:
        command.add_argument("--json", action="store_true", help="for programs")
    return command
