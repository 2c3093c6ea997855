"""Fenced transactions: only a process that was not evicted can commit them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.store import nodes
from gateway.store.database import Connection, Database


@asynccontextmanager
async def fenced_transaction(database: Database, node: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that locks the node's row: the node cannot be evicted before it ends.

    Raises FencedError when the node was evicted, and TimeoutError when no connection becomes free in time.
    """
    async with database.acquire() as connection, connection.transaction():
        await nodes.fence(connection, node)
        yield connection
