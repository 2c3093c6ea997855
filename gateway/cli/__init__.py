"""The command line: dispatch.py runs a command, parser.py has all of them, the other modules carry them out."""

from gateway.cli.dispatch import main

__all__ = ["main"]
