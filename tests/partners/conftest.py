"""The gateway between its partners, for the tests of this folder."""

from harness import harness

__all__ = ["harness"]
