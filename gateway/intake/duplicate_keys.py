"""Keys that occur twice in one object of a line.

JSON parsers keep the last one; nobody knows which was meant.
"""

import re

import orjson

MAX_PATH_LENGTH = 3
"""The longest path that is reported: `representatives`, index, key. Deeper objects are no part of a record."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}:,]')


def duplicate_keys(line: bytes, most: int | None = None) -> list[tuple[str, ...]]:
    """The path of each key that has occurred before in its object, cut to MAX_PATH_LENGTH; of valid JSON.

    With `most`, the first ones.

    Its time and memory are linear in the line, and it does not recurse.
    """
    found: list[tuple[str, ...]] = []
    objects: list[set[str] | None] = []  # the keys of each open object; None: an array
    path: list[str] = []  # a key or an index for each of them
    text = b""
    for match in _TOKEN.finditer(line):  # lazy: the first ones are soon found
        token = match[0]
        if token == b"{" or token == b"[":
            objects.append(set() if token == b"{" else None)
            path.append("0")
        elif token == b"}" or token == b"]":
            objects.pop()
            path.pop()
        elif token == b"," and objects[-1] is None:
            path[-1] = str(int(path[-1]) + 1)
        elif token == b":" and (keys := objects[-1]) is not None:
            path[-1] = orjson.loads(text)
            if path[-1] in keys:
                found.append(tuple(path[:MAX_PATH_LENGTH]))
                if len(found) == most:
                    break
            keys.add(path[-1])
        else:
            text = token
    return found
