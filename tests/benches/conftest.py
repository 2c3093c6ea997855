"""The ESME client for these tests."""

from esme_client import esme

__all__ = ["esme"]
