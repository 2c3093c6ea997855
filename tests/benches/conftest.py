"""The ESME client for these tests."""

from tests.esme_client import esme

__all__ = ["esme"]
