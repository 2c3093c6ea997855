"""The queue of messages from SMSCs that are to be stored: each link has its share of every batch."""

from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

MAX_BATCH_OCTETS: Final = 32_768
"""The octets of one link in a batch: four hundred replies, or a few as long as a PDU can be. Reading long ones
takes time.
"""

SEGMENT_OCTETS: Final = 1_024
"""The least octets as which a segment counts: segments at one place of a reply take statements of their own."""
_UDHI: Final = 0x40
_SAR_TOTAL: Final = b"\x02\x0e"
"""The tag of sar_total_segments (SMPP 3.4 §5.3.2.23): every segment by TLVs has it, with a length of any size."""


def weight(body: bytes) -> int:
    """The octets as which a deliver_sm or data_sm counts; also where it is malformed or may be no segment."""
    at = 0
    for unread in (0, 2, 2):  # service_type; then TON, NPI and address of source and destination
        at = body.find(b"\0", at + unread) + 1
        if at == 0:
            return len(body)
    is_segment = (body[at : at + 1] and body[at] & _UDHI) or _SAR_TOTAL in body
    return max(len(body), SEGMENT_OCTETS) if is_segment else len(body)


class _Queue(Generic[Item]):
    """The messages of one link."""

    __slots__ = ("items", "octets")

    def __init__(self) -> None:
        self.items: deque[tuple[Item, int]] = deque()
        self.octets = 0


class InboundQueue(Generic[Item]):
    """Messages by link, each link's in the order of their arrival."""

    def __init__(self, *, max_queued: int, max_queued_octets: int) -> None:
        """Of one link: with more, its binds are not to be read."""
        self._max_queued = max_queued
        self._max_queued_octets = max_queued_octets
        self._queues: dict[str, _Queue[Item]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, link: str, item: Item, octets: int) -> None:
        """Adds a message of so many octets."""
        queue = self._queues.setdefault(link, _Queue())
        queue.items.append((item, octets))
        queue.octets += octets

    def has(self, link: str) -> bool:
        """Whether messages of the link are queued."""
        return link in self._queues

    def is_full(self, link: str) -> bool:
        """Whether nothing more of the link is to be read."""
        queue = self._queues.get(link)
        return queue is not None and (
            len(queue.items) > self._max_queued or queue.octets > self._max_queued_octets
        )

    def has_room(self, link: str) -> bool:
        """Whether the link, having been full, is to be read again: half of it is stored."""
        queue = self._queues.get(link)
        return queue is None or (
            2 * len(queue.items) <= self._max_queued and 2 * queue.octets <= self._max_queued_octets
        )

    def next_batch(self, most: int) -> list[Item]:
        """About `most` messages: an equal share of each link, and of none more than MAX_BATCH_OCTETS."""
        share = max(most // max(len(self._queues), 1), 1)
        return [item for link in list(self._queues) for item in self._claim(link, share)]

    def _claim(self, link: str, most: int) -> Iterator[Item]:
        queue, octets = self._queues[link], 0
        while queue.items and most and octets < MAX_BATCH_OCTETS:
            item, size = queue.items.popleft()
            queue.octets -= size
            octets, most = octets + size, most - 1
            yield item
        if not queue.items:
            del self._queues[link]
