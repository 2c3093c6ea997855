"""The HTTP session that the clients of all partners share."""

from collections.abc import Sequence

import aiohttp


def partner_session(traces: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
    """A session to be closed by the caller (`async with`); `traces` are told of its requests.

    The number of connections is not limited: each client limits its requests. Cookies are not kept: aiohttp sends
    them to every port of a host, so to other partners, and a growing jar ends in requests that are too large.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trace_configs=list(traces)
    )
