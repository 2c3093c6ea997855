"""Changes of a record of evidence: each of its values, one at a time; and a journal rebuilt around a change."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from gateway.evidence import digests, merkle

Record = dict[str, Any]
Place = tuple[str | int, ...]
"""The names and indexes that lead to a value."""


def leaves(value: Any, path: Place = ()) -> Iterator[Place]:
    """The paths of all plain values."""
    match value:
        case dict() if value:
            for name, inner in value.items():
                yield from leaves(inner, (*path, name))
        case list() if value:
            for n, inner in enumerate(value):
                yield from leaves(inner, (*path, n))
        case _:
            yield path


def changed(record: Record, path: Place) -> Record:
    """A copy of the record with another value at that place."""
    record = copy.deepcopy(record)
    holder: Any = record
    for step in path[:-1]:
        holder = holder[step]
    match holder[path[-1]]:
        case bool(value):
            holder[path[-1]] = not value
        case int(value):
            holder[path[-1]] = value + 1
        case str(value) if value[-1:].isdigit():
            holder[path[-1]] = value[:-1] + str((int(value[-1]) + 1) % 10)
        case str(value):
            holder[path[-1]] = value + "0"
        case _:
            holder[path[-1]] = "0"
    return record


def sealed(record: Record) -> Record:
    """A copy with the seal that fits it: anybody can compute that."""
    return record | {"seal": digests.seal(record)}


def journaled(record: Record, version: int | None = None) -> Record:
    """A copy of which the journal is rebuilt: numbered, chained, in a tree of its own, and sealed.

    So could an administrator of a database that nobody has an anchor of. `version` is that of all hashes; None:
    those that the entries name.
    """
    record = copy.deepcopy(record)
    entries, before, tree = record["journal"], b"", merkle.Frontier()
    for seq, entry in enumerate(entries, start=1):
        if version is not None:
            entry["version"] = version
        entry |= {"seq": seq, "before": before.hex()}
        octets = digests.journal_entry(
            seq, entry["at_us"], record["case"]["case_id"], entry["event"], entry["event_id"], entry["detail"],
            entry.get("version", 1),
        )  # fmt: skip
        before = digests.journal_hash(before, octets)
        entry["hash"] = before.hex()
        tree.append(before)
    leaves = [merkle.leaf(bytes.fromhex(entry["hash"])) for entry in entries]

    def look_up(level: int, position: int) -> bytes | None:
        return leaves[position] if level == 0 else None

    for index, entry in enumerate(entries):
        entry["path"] = [hash_.hex() for hash_ in merkle.path(look_up, index, len(entries))]
    record["tree"] = {"size": len(entries), "root": tree.root().hex()}
    record["format"] = digests.FORMATS[max((entry.get("version", 1) for entry in entries), default=1)]
    return sealed(record)


def entry_of(record: Record, event: str, nth: int = 1) -> Record:
    """The nth entry of an event in the record's journal."""
    found: list[Record] = [entry for entry in record["journal"] if entry["event"] == event]
    return found[nth - 1]


def redetailed(entry: Record, **fields: Any) -> None:
    """Puts fields into the detail of an entry."""
    detail = json.loads(entry["detail"]) | fields
    entry["detail"] = json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
