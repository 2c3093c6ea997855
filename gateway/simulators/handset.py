"""A handset: it joins segments to messages, drops repeated ones, and concatenates what it sends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from smpplib import consts

from gateway.simulators.submission import UDHI, Submitted


@dataclass(slots=True, eq=False)
class Message:
    """A message on a handset, or the segments of it that have arrived so far."""

    source: str
    destination: str
    reference: int | None
    total: int
    segments: dict[int, Submitted] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    """How often each segment arrived; the handset shows one."""

    @property
    def complete(self) -> bool:
        return len(self.segments) == self.total

    @property
    def text(self) -> str:
        """What the handset shows; octets that are not valid text are U+FFFD."""
        return "".join(
            "\ufffd" if segment.text is None else segment.text for _, segment in sorted(self.segments.items())
        )

    @property
    def repeated(self) -> int:
        """How many copies arrived beyond the first, over all segments."""
        return sum(self.copies.values()) - len(self.copies)

    @property
    def last(self) -> Submitted:
        """The segment that arrived last."""
        return max(self.segments.values(), key=lambda segment: segment.at)


class Handsets:
    """All handsets; joins segments to messages as each of them does."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._incomplete: dict[tuple[str, str, int, int], Message] = {}
        self._by_destination: dict[str, list[Message]] = {}

    def receive(self, segment: Submitted) -> Message | None:
        """The message that this segment completes, if it does.

        A repeated segment is dropped and counted. Other octets under the same number mean that the reference was
        used again: a new message begins.
        """
        key = (segment.destination, segment.source, segment.reference or 0, segment.total)
        message = self._incomplete.get(key) if segment.reference is not None else None
        earlier = message.segments.get(segment.number) if message else None
        if message is None or (earlier is not None and earlier.octets != segment.octets):
            message = Message(segment.source, segment.destination, segment.reference, segment.total)
            self.messages.append(message)
            self._by_destination.setdefault(segment.destination, []).append(message)
            if segment.reference is not None:
                self._incomplete[key] = message
            earlier = None
        message.copies[segment.number] = message.copies.get(segment.number, 0) + 1
        if earlier is not None:
            return None
        message.segments[segment.number] = segment
        return message if message.complete else None

    def inbox(self, destination: str) -> list[Message]:
        """The complete messages of one number, oldest first."""
        return [message for message in self._by_destination.get(destination, ()) if message.complete]


def addresses(number: str, destination: str) -> dict[str, Any]:
    """The addresses of what the handset of this number sends."""
    return {
        "source_addr": number,
        "source_addr_ton": consts.SMPP_TON_INTL,
        "source_addr_npi": consts.SMPP_NPI_ISDN,
        "destination_addr": destination,
    }


def concatenated(segments: Sequence[bytes], how: str, reference: int) -> Iterable[tuple[dict[str, Any], bytes]]:
    """(fields of the deliver_sm, its short_message) of each segment; `how` is udh8, udh16 or sar."""
    total = len(segments)
    for number, octets in enumerate(segments, start=1):
        match how:
            case "udh8":
                yield {"esm_class": UDHI}, bytes((5, 0, 3, reference & 0xFF, total, number)) + octets
            case "udh16":
                yield (
                    {"esm_class": UDHI},
                    b"\x06\x08\x04" + reference.to_bytes(2, "big") + bytes((total, number)) + octets,
                )
            case "sar":
                yield (
                    {
                        "sar_msg_ref_num": reference,
                        "sar_total_segments": total,
                        "sar_segment_seqnum": number,
                    },
                    octets,
                )
            case _:
                raise ValueError(f"no such concatenation: {how}")
