"""Segments that the SMSC has not responded to: places of the window, sequence numbers, late responses."""

from gateway.smpp.in_flight import InFlight

TIMEOUT_SECONDS = 10.0


def _submit(segments: InFlight[str], tags: str, now: float) -> list[int]:
    """The sequence numbers of segments with these tags, sent now."""
    numbers = []
    for tag in tags:
        numbers.append(segments.next_sequence_number())
        segments.window[numbers[-1]] = tag, now
    return numbers


def test_sequence_numbers_wrap_and_skip_those_under_way() -> None:
    segments = InFlight[str](TIMEOUT_SECONDS, max_sequence_number=5)
    assert _submit(segments, "abcde", 1.0) == [1, 2, 3, 4, 5]
    del segments.window[1], segments.window[3]
    assert _submit(segments, "fg", 9.0) == [1, 3]


def test_sequence_numbers_skip_those_whose_response_may_come_late() -> None:
    segments = InFlight[str](TIMEOUT_SECONDS, max_sequence_number=4)
    _submit(segments, "abc", 1.0)
    assert [segments.pop_timed_out(11.0) for _ in range(4)] == [("a", 1.0), ("b", 1.0), ("c", 1.0), None]
    segments.free_oldest()
    assert _submit(segments, "d", 11.0) == [4]
    assert segments.pop_late(1, 12.0) == ("a", 1.0)  # it had given up its place
    assert segments.pop_late(2, 12.0) == ("b", 1.0)  # it had not
    assert _submit(segments, "ef", 12.0) == [1, 2]


def test_late_responses_are_recognised_up_to_a_limit() -> None:
    segments = InFlight[str](TIMEOUT_SECONDS, max_late=2)
    _submit(segments, "abc", 1.0)
    while segments.pop_timed_out(21.0) is not None:
        pass
    while segments.oldest_expired(21.0) is not None:
        segments.free_oldest()
    assert segments.places == 0
    assert [segments.pop_late(number, 22.0) for number in (1, 2, 3)] == [None, ("b", 1.0), ("c", 1.0)]
