"""The gateway between its partners, for the tests of this folder."""

from tests.harness import harness

__all__ = ["harness"]
