"""Typed reads of a TOML table: every fault is gathered with its key, none stops the reading of the rest.

A read that finds a fault notes it and returns the default or a placeholder, so that one start shows all faults.
The values are valid only when `faults` of the outermost table has none: keys that nothing has read are faults too.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from gateway.config.errors import ConfigError

Choice = TypeVar("Choice", bound=str)

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAMED = "be 1 to 64 letters, digits, dots, dashes or underscores"

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_MAX_SHOWN_LENGTH = 60
_MAX_INTEGER = (1 << 63) - 1
"""TOML's integers have 64 bits; tomllib reads longer ones, which Python may not even print."""
_REFERENCE = re.compile(r"(env|file):(.*)", re.DOTALL)
_UNRESOLVED = re.compile(r"\s*(?i:env|file)\s*:.*|\$[A-Z_][A-Z0-9_]*|\$[{(].*[})]", re.DOTALL)
"""A secret that is meant to stand elsewhere, in words that nothing resolves."""
MIN_TOKEN_CHARACTERS = 16
"""The shortest bearer token that callers should present: shorter ones can be guessed."""
_TOKEN = re.compile("[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a file's values come from: its folder, the environment.

    With `secrets` off, a missing secret is read as "" and is no fault: for commands that need none.
    """

    directory: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    secrets: bool = True


class Table:
    """One table of the file, under its full key."""

    def __init__(self, values: object, key: str, source: Source) -> None:
        self.key = key
        self._source = source
        self._known: set[str] = set()
        self._faults: list[ConfigError] = []
        self._tables: list[Table] = []
        self._values: Mapping[str, object] = values if isinstance(values, dict) else {}
        if not isinstance(values, dict):
            self.fault("", f"must be a table, not {_shown(values)}")

    def keys(self) -> Sequence[str]:
        return tuple(self._values)

    def full_key(self, name: str) -> str:
        return ".".join(filter(None, (self.key, name)))

    def fault(self, name: str, message: str) -> None:
        """Notes a fault of the key `name`; of the table itself where that is empty."""
        self._faults.append(ConfigError(self.full_key(name), message))

    def faults(self) -> list[ConfigError]:
        """All faults of the table and of the tables in it, with a fault for each key that nothing has read."""
        unread = [name for name in self._values if name not in self._known]
        unknown = [ConfigError(self.full_key(name), self._unknown(name)) for name in unread]
        return [*self._faults, *unknown, *(fault for table in self._tables for fault in table.faults())]

    def table(self, name: str) -> "Table":
        """The table `name`; an empty one where it is left out."""
        return self._table(self._take(name, {}), self.full_key(name))

    def tables(self, name: str) -> list["Table"]:
        """The array of tables `name`; each goes by its own `name` where it has a usable one."""
        values = self._take(name, [])
        if not isinstance(values, list):
            self.fault(name, f"must be an array of tables: write [[{name}]]")
            return []
        tables = []
        for i, value in enumerate(values):
            own = value.get("name") if isinstance(value, dict) else None
            named = isinstance(own, str) and re.fullmatch(r"[A-Za-z0-9_-]+", own)
            key = f"{self.full_key(name)}.{own}" if named else f"{self.full_key(name)}[{i}]"
            tables.append(self._table(value, key))
        return tables

    def text(
        self, name: str, default: str | None = None, *, pattern: str = r"(?s).+", must: str = "not be empty"
    ) -> str:
        """A string that matches the pattern as a whole; a fault, and "", when it does not or is left out."""
        value = self._take(name, default)
        if not isinstance(value, str):
            self._mistyped(name, value, "a string")
            return ""
        resolved = self._resolved(name, value)
        if resolved is None:
            return ""
        if re.fullmatch(pattern, resolved) is None:
            self.fault(name, f"must {must}" + (f", not {self.written(name)}" if resolved else ""))
            return ""
        return resolved

    def written(self, name: str) -> str:
        """The value as it stands in the file, for a message: never what it refers to, which may be a secret."""
        return _shown(self._values.get(name))

    def texts(self, name: str, *, pattern: str, must: str) -> tuple[str, ...]:
        """An array of strings, each of which matches the pattern; none where it is left out."""
        value = self._take(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fault(name, f"must be an array of strings, not {_shown(value)}")
            return ()
        for item in value:
            if re.fullmatch(pattern, item) is None:
                self.fault(name, f"each must {must}, not {_shown(item)}")
        return tuple(value)

    def wholes(self, name: str, *, least: int, most: int) -> tuple[int, ...]:
        """An array of whole numbers from `least` to `most`; none where it is left out."""
        value = self._take(name, [])
        if not isinstance(value, list) or not all(type(item) is int and least <= item <= most for item in value):
            self.fault(name, f"must be an array of whole numbers from {least} to {most}, not {_shown(value)}")
            return ()
        return tuple(value)

    def secret(self, name: str, default: str | None = None, *, required: bool = True) -> str:
        """A string that no message ever shows; "", and not looked up, when it is not required."""
        value = self._take(name, default)
        return self._secret(name, value) if required else ""

    def secrets(self, name: str, default: str | None = None) -> tuple[str, ...]:
        """One secret or several: during a rotation the old one and the new one are valid."""
        value = self._take(name, default)
        values = value if isinstance(value, list) else [value]
        if not values:
            self.fault(name, "must be a secret or an array of secrets, not an empty array")
        return tuple(self._secret(name, item) for item in values)

    def tokens(self, name: str, default: str | None = None, *, required: bool = True) -> tuple[str, ...]:
        """The bearer tokens of callers, as `secrets`: each as a header can carry it.

        None of a key that is not required and empty, or left out while its default refers to nothing.
        """
        if not required and self._is_without(name, default):
            return ()
        values = self.secrets(name, default)
        if not all(_TOKEN.fullmatch(value) for value in values if value):
            must = "must be ASCII characters without spaces"
            self._missing(name, f"a token {must}; make one: openssl rand -hex 32")
        return values

    def _is_without(self, name: str, default: str | None) -> bool:
        value = self._take(name, None)
        reference = _REFERENCE.fullmatch(default or "")
        unset = reference is None or not self._source.environ.get(reference[2])
        return value == [] or (value is None and unset)

    def whole(self, name: str, default: int | None = None, *, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self._mistyped(name, value, "a whole number")
            return least
        if not least <= value <= most:
            self.fault(name, f"must be a whole number from {least} to {most}, not {_shown(value)}")
            return least
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number from `least` to `most`, both included."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._mistyped(name, value, "a number")
            return default
        if not least <= value <= most:  # nan is outside, too
            self.fault(name, f"must be a number from {least:g} to {most:g}, not {_shown(value)}")
            return default
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._take(name, default)
        if not isinstance(value, bool):
            self._mistyped(name, value, "true or false")
            return default
        return value

    def choice(self, name: str, choices: Sequence[Choice], default: Choice) -> Choice:
        """One of the choices."""
        value = self.text(name, default, pattern=r"(?s).*")
        for choice in choices:
            if value == choice:
                return choice
        self.fault(name, f"must be one of {', '.join(choices)}, not {self.written(name)}")
        return default

    def duration(self, name: str, default: str, *, least: str, most: str) -> timedelta:
        """A whole number and its unit, such as "30s", from `least` to `most`."""
        text = self.text(name, default, pattern=r"(?s).*")
        try:
            value = parse_duration(text)
        except ValueError:
            self.fault(
                name, f'must be a whole number and ms, s, m, h or d, such as "30s", not {self.written(name)}'
            )
            return timedelta(0)
        if not parse_duration(least) <= value <= parse_duration(most):
            self.fault(name, f"must be from {least} to {most}, not {self.written(name)}")
        return value

    def path(self, name: str, default: str) -> Path:
        """A path, relative ones from the file's own folder."""
        return self._source.directory / self.text(name, default)

    def folder(self, name: str, default: str) -> Path:
        """The path of a folder that exists or can be made: nothing on the way to it is a file."""
        path = self.path(name, default)
        for place in (path, *path.parents):
            if os.path.lexists(place):  # unlike pathlib's it is False for a path that no file can have
                if not os.path.isdir(place):
                    self.fault(name, f"{self.located(name, place)} is not a folder; name another place")
                break
        return path

    def file(self, name: str) -> Path | None:
        """The path of a file that exists; None where it is left out."""
        if self._take(name, None) is None:
            return None
        path = self.path(name, "")
        if not os.path.isfile(path):  # False for a path that no file can have; that of pathlib raises
            self.fault(name, f"{self.located(name, path)} is not a file")
        return path

    def located(self, name: str, path: Path) -> str:
        """The path of `name` for a message; as it stands in the file where it refers to another place."""
        value = self._values.get(name)
        return self.written(name) if isinstance(value, str) and _REFERENCE.fullmatch(value) else str(path)

    def url(self, name: str, default: str | None = None) -> str:
        """An http or https address without a slash at its end; "" where that is the default or given."""
        text = self.text(name, default, pattern=r"(?s).*")
        if not text:
            return ""
        try:
            url = urlsplit(text)
            usable = url.scheme in {"http", "https"} and url.hostname and not (url.query or url.fragment)
            bare = url.username is None and url.port != 0
        except ValueError:  # a port that is no number, a bracket that does not close
            usable = bare = False
        if not usable or not bare:
            self.fault(name, "must be an http:// or https:// address without user, query or fragment")
        return text.rstrip("/")

    def _table(self, values: object, key: str) -> "Table":
        self._tables.append(Table(values, key, self._source))
        return self._tables[-1]

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._known, n=1)
        return f"unknown key; did you mean {near[0]}?" if near else "unknown key; remove it"

    def _take(self, name: str, default: object) -> object:
        self._known.add(name)
        return self._values.get(name, default)

    def _mistyped(self, name: str, value: object, expected: str) -> None:
        if value is None:
            self.fault(name, f"required; set it to {expected}")
        else:
            self.fault(name, f"must be {expected}, not {_shown(value)}")

    def _secret(self, name: str, value: object) -> str:
        if value is None:
            self._missing(name, 'required; write "env:NAME" or "file:PATH"')
            return ""
        if not isinstance(value, str):
            self.fault(name, 'must be a string: "env:NAME" or "file:PATH"')
            return ""
        resolved = self._resolved(name, value, secret=True)
        if resolved is None:
            return ""
        if not resolved.strip():
            self._missing(name, "must not be empty")
        elif _UNRESOLVED.fullmatch(resolved) and not value.startswith("file:"):
            self._missing(
                name,
                "looks like a reference that nothing resolves; write env:NAME or file:PATH "
                "(a secret that does look like one belongs into a file)",
            )
        return resolved

    def _resolved(self, name: str, value: str, *, secret: bool = False) -> str | None:
        """The value itself, or what it refers to; None, and a fault noted, when that is missing."""
        reference = _REFERENCE.fullmatch(value)
        if reference is None:
            return value
        note = self._missing if secret else self.fault
        kind, target = reference.groups()
        if not target.strip():
            wanted = "NAME of an environment variable" if kind == "env" else "PATH of a file"
            note(name, f"{kind}: refers to nothing; write {kind}: and the {wanted}")
            return None
        if kind == "env":
            found = self._source.environ.get(target)
            if not found:
                note(
                    name,
                    f"the environment variable {target} is {'not set' if found is None else 'empty'}; set it",
                )
            return found or None
        path = self._source.directory / target
        try:
            content = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            note(name, f"cannot read {path}: {reason}")
            return None
        if not content:
            note(name, f"{path} is empty; put the value there")
        return content or None

    def _missing(self, name: str, message: str) -> None:
        if self._source.secrets:
            self.fault(name, message)


def parse_duration(text: str) -> timedelta:
    """The length of "10m"; ValueError when it is no whole number with ms, s, m, h or d."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[match[2]]


def _shown(value: object) -> str:
    """The value as the file would write it, short enough for one line."""
    match value:
        case bool():
            shown = str(value).lower()
        case list():
            shown = "an array"
        case dict():
            shown = "a table"
        case int() if abs(value) > _MAX_INTEGER:
            shown = "a number of more than 64 bits"
        case _:
            shown = repr(value)
    return shown if len(shown) <= _MAX_SHOWN_LENGTH else f"{shown[: _MAX_SHOWN_LENGTH - 3]}..."


def check_key_pair(table: Table, tls_cert: Path | None, tls_key: Path | None) -> None:
    """Notes a certificate without its private key, and the other way round."""
    if tls_cert and not tls_key:
        table.fault("tls_key", "required beside tls_cert; set it to the file of the private key")
    if tls_key and not tls_cert:
        table.fault("tls_cert", "required beside tls_key; set it to the file of the certificate")
