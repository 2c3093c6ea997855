"""Transactions that only a process which was not evicted can commit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.store import nodes
from gateway.store.database import Connection, Database


@asynccontextmanager
async def fenced_transaction(database: Database, node: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that holds the node's row: the node can't be evicted before it ends.

    Raises FencedError when the node was evicted, and TimeoutError when no connection is free for too long.
    """
    async with database.acquire() as connection, connection.transaction():
        await nodes.fence(connection, node)
        yield connection
