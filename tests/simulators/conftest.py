"""The ESME client and the served page for these tests."""

from tests.esme_client import esme
from tests.simulators_page import served

__all__ = ["esme", "served"]
