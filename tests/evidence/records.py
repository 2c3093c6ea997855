"""Records of evidence of a running gateway's cases."""

import json
from datetime import UTC, datetime

import orjson

from gateway.config import load
from gateway.store.evidence import record_of
from tests.evidence.record_changes import Record
from tests.harness import Family, Harness


async def recorded(harness: Harness, family: Family) -> Record:
    """The record that `gateway evidence` prints of the family's case, without a process for it."""
    known = load(harness.directory / "config.toml", environ={})
    record = await record_of(
        harness.connection,
        await harness.case_id(family),
        made_at=datetime.now(UTC),
        rules=known.reply_rules,
        alphabets=known.default_alphabets,
    )
    read: Record = json.loads(orjson.dumps(record))
    return read
