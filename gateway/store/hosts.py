"""The hosts of a postgresql:// address, and the order in which they are tried."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

_TARGET = "target_session_attrs"
_QUOTE = "write special characters of the password as % and two hex digits"


class Host(NamedTuple):
    """One server of an address."""

    name: str  # a name, an IP address, or the folder of a Unix socket
    port: int | None  # None: the default one

    def __str__(self) -> str:
        """As it is written in an address."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


def hosts_of(url: str) -> list[Host]:
    """The hosts of an address, in its order; none where it leaves them to the environment (PGHOST).

    Raises ValueError, whose message quotes nothing of the address: it may hold a password.
    """
    netloc, query = _split(url)
    quoted = bool(netloc)
    names = (netloc or query.get("host", "")).split(",")
    if names == [""]:
        return []
    ports = [_port(port) for port in query.get("port", "").split(",")]
    if len(ports) not in (1, len(names)):
        raise ValueError("its address has another number of ports than of hosts")
    if len(ports) == 1:
        ports *= len(names)
    return [_host(name, port, quoted=quoted) for name, port in zip(names, ports, strict=True)]


def target_of(url: str) -> str | None:
    """What the address asks of a server (`target_session_attrs`); None: nothing. Raises ValueError."""
    return _split(url)[1].get(_TARGET)


def _split(url: str) -> tuple[str, dict[str, str]]:
    """What stands after the @, and the parameters."""
    try:
        parts = urlsplit(url)
        parameters = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise ValueError(f"its address is malformed: {_QUOTE}") from None
    if parts.netloc.count("@") > 1 or parts.fragment:
        raise ValueError(f"its address is malformed: {_QUOTE}")
    return parts.netloc.rpartition("@")[2], {name: values[-1] for name, values in parameters.items()}


def _host(text: str, port: int | None, *, quoted: bool) -> Host:
    """`port` comes from the query and counts first."""
    if text.startswith("["):
        name, _, own_port = text[1:].partition("]")
        own_port = own_port.removeprefix(":")
    elif text.startswith("/"):
        name, own_port = text, ""
    else:
        name, _, own_port = text.partition(":")
    if not name:
        raise ValueError(f"a host of its address has no name; {_QUOTE}")
    return Host(unquote(name) if quoted else name, port or _port(own_port))


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65_536):
        raise ValueError(f"a port of its address is no number from 1 to 65535; {_QUOTE}")
    return int(text)


class HostOrder:
    """In which order the hosts are tried: the last good one first, those that did not respond last."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = list(hosts)
        self.last_good: Host | None = None

    def __iter__(self) -> Iterator[Host]:
        """The hosts as they stand now; notes that are made meanwhile count for the next attempt."""
        return iter(tuple(self._hosts))

    def good(self, host: Host) -> bool:
        """Notes that a host serves; whether it is another one than before."""
        self._move(host, 0)
        changed, self.last_good = self.last_good not in (None, host), host
        return changed

    def unresponsive(self, host: Host) -> None:
        """Notes that a host did not respond: each attempt costs the whole time-out."""
        self._move(host, len(self._hosts) - 1)

    def _move(self, host: Host, index: int) -> None:
        self._hosts.remove(host)
        self._hosts.insert(index, host)
