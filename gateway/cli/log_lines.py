"""Lines of the gateway's log as journald, docker, compose and Kubernetes pass them on: the record behind a prefix.

What comes may be anything: everything is bounded in length, and nothing outside printable characters leaves.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import orjson

from gateway.cli.terminal import escaped_json
from gateway.limits import MAX_LOGGED_CHARACTERS, cut

MAX_LINE_BYTES = 1 << 20
MAX_LABEL_CHARACTERS = 100

_MAX_PREFIX_CHARACTERS = 1_000
_MAX_BRACES = 4  # in a prefix: a label of a pod, a host name
_MAX_WRAPPINGS = 3  # a line of docker's file, which journald has, for example
_WRAPPED_IN = ("log", "MESSAGE")
"""The field with the line in docker's json-file and in `journalctl -o json`."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CRI = re.compile(rb"[0-9T:.Z+-]{20,40} (?P<stream>stdout|stderr) (?P<flag>[PF])(?::\S{0,64})? ")
"""What the runtime of Kubernetes puts before a line; with the flag P another part follows, with F none."""
_POD = re.compile(r"\[([a-z0-9./-]+)\]")
_SERVICE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*) +\|")


class Line(NamedTuple):
    """A line: `record` is that of the log, or None, and then `text` is all there is."""

    label: str  # the pod or the service that it comes from, "" where the prefix names none
    record: Mapping[str, Any] | None
    text: str


def lines(file: BinaryIO) -> Iterator[Line]:
    """Every line as it comes, one in parts with its last part; of one beyond MAX_LINE_BYTES only the beginning."""
    parts: dict[bytes, bytes] = {}  # by stream; they may cut a character
    for octets in _physical_lines(file):
        whole: bytes | None = octets
        if cri := _CRI.match(octets):
            begun, part = parts.pop(cri["stream"], b""), octets.rstrip(b"\r\n")
            whole = (begun + part[cri.end() :])[:MAX_LINE_BYTES] if begun else part
            if cri["flag"] == b"P":
                parts[cri["stream"]], whole = whole, None
        if whole is not None:
            yield read_line(whole.decode("utf-8", "backslashreplace"))
    for begun in parts.values():  # the rest never came
        yield read_line(begun.decode("utf-8", "backslashreplace"))


def _physical_lines(file: BinaryIO) -> Iterator[bytes]:
    while octets := file.readline(MAX_LINE_BYTES):
        yield octets
        while len(octets) == MAX_LINE_BYTES and not octets.endswith(b"\n"):
            octets = file.readline(MAX_LINE_BYTES)


def read_line(text: str) -> Line:
    """The record of a line, without what was put before or around it."""
    text = text.rstrip("\r\n")
    label = ""
    for _ in range(_MAX_WRAPPINGS):
        before, found = _object_in(text)
        label = label or _label(before)
        if found is None:
            break
        if "event" in found:
            return Line(label, found, text)
        inner = next((found[name] for name in _WRAPPED_IN if name in found), None)
        if (unwrapped := _as_text(inner)) is None:
            break
        text = unwrapped.rstrip("\r\n")
    return Line(label, None, text)


def printable(text: str, most: int = MAX_LOGGED_CHARACTERS) -> str:
    """The text, at most so long, with escapes for everything that is not printable."""
    text = cut(text, most)
    return text if text.isprintable() else "".join(_escaped(c) for c in text)


def as_json(record: Mapping[str, Any]) -> str | None:
    """The record as JSON of printable characters; None when it is nested too deep."""
    try:
        return escaped_json(orjson.dumps(record).decode())
    except TypeError:
        return None


def _object_in(text: str) -> tuple[str, dict[str, Any] | None]:
    """What stands before the object at the end of the line, and the object."""
    at = -1
    for _ in range(_MAX_BRACES):
        at = text.find("{", at + 1, _MAX_PREFIX_CHARACTERS)
        if at < 0:
            break
        try:
            found = orjson.loads(text[at:])
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            return text[:at], found
    return text[:_MAX_PREFIX_CHARACTERS], None


def _label(prefix: str) -> str:
    prefix = _COLOUR.sub("", prefix)
    named = _POD.match(prefix) or _SERVICE.match(prefix)
    return named[1][:MAX_LABEL_CHARACTERS] if named else ""


def _as_text(inner: object) -> str | None:
    """The line in a wrapping; journald writes one that is not UTF-8 as an array of octets."""
    if isinstance(inner, list):
        try:
            return bytes(inner).decode("utf-8", "backslashreplace")
        except (TypeError, ValueError):
            return None
    return inner if isinstance(inner, str) else None


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
