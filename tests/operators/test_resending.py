"""The waits of segments of unknown outcome, by a clock of the test."""

from itertools import accumulate

from gateway.config.policy import LinkPolicy
from gateway.operators.resending import Resending
from gateway.operators.send_queue import OutgoingText
from gateway.store.sms import ClaimedSms

RESPONSE_TIMEOUT = 30.0
DOUBLED = [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0]


def unknown(*, segments: int = 15, sendings: int = 1, timed_out: bool = True) -> OutgoingText:
    """A text of which one segment has had no response."""
    claimed = ClaimedSms(
        sms_id=1, case_id="a", kind="request", repeat=0, msisdn="77010000001", priority=1, body="",
        long_messages="udh8", reference=1, segments=segments, attempts=sendings, accepted_segments=0,
        tracked_segments=0, message_ids=None, tlvs=None, expires_in_seconds=None, busy_since=None,
    )  # fmt: skip
    out = OutgoingText(claimed, [b""] * segments, 0)
    out.unsent.clear()
    out.unknown_segments, out.timed_out = 1, timed_out
    return out


def test_a_text_waits_twice_as_long_each_time_up_to_ten_minutes() -> None:
    resending = Resending(RESPONSE_TIMEOUT, LinkPolicy(), lambda: 0.0)
    assert [resending.wait_seconds(unknown(sendings=n)) for n in range(1, 9)] == DOUBLED


def test_a_link_waits_twice_as_long_each_time_up_to_ten_minutes_whichever_texts_time_out() -> None:
    now = 0.0
    resending = Resending(RESPONSE_TIMEOUT, LinkPolicy(), lambda: now)
    waits = []
    for end in accumulate(DOUBLED):
        resending.timed_out()
        resending.timed_out()  # of the same window: the period has begun
        waits.append(resending.wait_seconds(unknown()))
        now = end
    assert waits == DOUBLED
    resending.timed_out()
    resending.accepted()
    assert resending.wait_seconds(unknown()) == RESPONSE_TIMEOUT


def test_a_response_timeout_above_ten_minutes_is_the_longest_wait() -> None:
    resending = Resending(900.0, LinkPolicy(), lambda: 0.0)
    assert [resending.wait_seconds(unknown(sendings=n)) for n in (1, 2, 3)] == [900.0] * 3


def test_after_a_lost_connection_the_first_copy_does_not_wait_and_later_ones_do() -> None:
    resending = Resending(RESPONSE_TIMEOUT, LinkPolicy(), lambda: 0.0)
    waits = [resending.wait_seconds(unknown(sendings=n, timed_out=False)) for n in range(1, 9)]
    assert waits == [0.0, *DOUBLED[:-1]]


def test_a_text_without_udh_waits_for_an_hour_after_each_second_sending() -> None:
    resending = Resending(RESPONSE_TIMEOUT, LinkPolicy(), lambda: 0.0)
    waits = [resending.wait_seconds(unknown(segments=1, sendings=n)) for n in range(1, 7)]
    assert waits == [30.0, 3600.0, 120.0, 3600.0, 480.0, 3600.0]
