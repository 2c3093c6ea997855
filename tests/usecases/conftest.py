"""The fixture of a gateway between simulated partners, for the tests of this folder."""

from tests.harness import harness

__all__ = ["harness"]
