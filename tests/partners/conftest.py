"""The gateway among simulated partners, and what the tests of a single client need."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aioresponses import aioresponses

from gateway.partners.http_session import partner_session
from tests.harness import harness

__all__ = ["harness"]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """The session of the gateway itself."""
    async with partner_session() as session:
        yield session


@pytest.fixture
def mocked() -> Iterator[aioresponses]:
    """Responses to requests that leave no process."""
    with aioresponses() as responses:
        yield responses
