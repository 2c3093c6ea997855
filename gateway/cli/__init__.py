"""The command line: parser.py knows the words, the other modules do what they say, terminal.py shows it."""

from gateway.cli.parser import main

__all__ = ["main"]
