"""The share that each link has of a batch, and when a link is not to be read."""

import pytest

from gateway.operators.inbound_queue import MAX_BATCH_OCTETS, SEGMENT_OCTETS, InboundQueue, weight


def queued(**links: int) -> InboundQueue[str]:
    """So many messages of 100 octets of each link."""
    queue = InboundQueue[str](max_queued=1_000, max_queued_octets=1_000_000)
    for link, messages in links.items():
        for n in range(messages):
            queue.add(link, f"{link}{n}", 100)
    return queue


def test_the_messages_of_one_link_keep_their_order() -> None:
    queue = queued(kcell=7)
    assert queue.next_batch(3) == ["kcell0", "kcell1", "kcell2"]
    assert [queue.next_batch(3), queue.next_batch(3)] == [["kcell3", "kcell4", "kcell5"], ["kcell6"]]
    assert not queue


def test_a_link_that_floods_delays_no_other() -> None:
    queue = queued(hostile=900, honest=1)
    assert queue.next_batch(10) == [*(f"hostile{n}" for n in range(5)), "honest0"]
    assert queue.next_batch(10) == [f"hostile{n}" for n in range(5, 15)]


def test_a_link_with_long_messages_has_few_of_them_in_a_batch() -> None:
    queue = queued(honest=3)
    for n in range(5):
        queue.add("hostile", f"hostile{n}", MAX_BATCH_OCTETS // 2)
    assert queue.next_batch(100) == ["honest0", "honest1", "honest2", "hostile0", "hostile1"]
    queue.add("hostile", "longest", 10 * MAX_BATCH_OCTETS)
    assert queue.next_batch(100) == ["hostile2", "hostile3"]
    assert queue.next_batch(100) == ["hostile4", "longest"]


def test_a_link_is_full_by_number_or_by_octets_and_no_other_with_it() -> None:
    queue = queued(many=1_001, some=1_000)
    queue.add("long", "one", 1_000_001)
    assert [queue.is_full(link) for link in ("many", "some", "long", "none")] == [True, False, True, False]
    assert [queue.has_room(link) for link in ("many", "some", "long", "none")] == [False, False, False, True]
    for _ in range(3):
        queue.next_batch(900)
    assert [queue.has_room(link) for link in ("many", "some", "long")] == [True, True, True]


ADDRESSES = b"\0" + b"\x01\x01" + b"77010000001\0" + b"\0\x01" + b"1414\0"
FIELDS = bytes((0, 0)) + b"\0\0" + bytes((0, 0, 8, 0))
SAR = b"\x02\x0e\x00\x01\x02\x02\x0f\x00\x01\x01"
"""The first of two segments."""


@pytest.mark.parametrize(
    ("body", "is_segment"),
    [
        (ADDRESSES + b"\x00" + FIELDS + b"\x06\x003\x00#\x001", False),
        (ADDRESSES + b"\x40" + FIELDS + b"\x0c\x05\x00\x03\x07\x03\x01\x003\x00#\x001", True),
        (ADDRESSES + b"\x04" + FIELDS + b"\x00", False),
        (ADDRESSES + b"\x00" + FIELDS + b"\x00\x02\x0c\x00\x02\x00\x07" + SAR, True),
        (ADDRESSES + b"\x00" + FIELDS + b"\x00\x02\x0c\x00\x01\x07" + SAR, True),
        (ADDRESSES + b"\x00" + FIELDS + b"\x00\x02\x0c\x00\x03\x00\x00\x07" + SAR, True),
        (ADDRESSES + b"\x00" + FIELDS + b"\x00" + SAR, True),
        (b"\0" + b"\x00\x00" + b"\0" + b"\x00\x00" + b"\0" + b"\x40", True),
        (ADDRESSES[:-1], False),
        (ADDRESSES, False),
        (b"", False),
        (b"\x40" * 500, False),
    ],
)
def test_a_segment_counts_as_many_octets_in_a_batch(body: bytes, is_segment: bool) -> None:
    assert weight(body) == (SEGMENT_OCTETS if is_segment else len(body))


def test_a_link_has_few_segments_in_a_batch() -> None:
    queue = InboundQueue[int](max_queued=1_000, max_queued_octets=1_000_000)
    segment = ADDRESSES + b"\x40" + FIELDS + b"\x06\x05\x00\x03\x07\x03\x01"
    for n in range(500):
        queue.add("hostile", n, weight(segment))
    queue.add("honest", 0, 80)
    batch = queue.next_batch(500)
    assert (len(batch), batch[-1]) == (MAX_BATCH_OCTETS // SEGMENT_OCTETS + 1, 0)
