"""The command line: parser.py has the commands, the other modules carry them out, terminal.py prints."""

from gateway.cli.parser import main

__all__ = ["main"]
