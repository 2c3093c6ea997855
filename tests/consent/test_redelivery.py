"""Whether a reply may be the redelivery of one to another case."""

import pytest

from gateway.consent.redelivery import MAX_COMPARED, EarlierReply, may_be_redelivery

ACKNOWLEDGED, UNACKNOWLEDGED = False, True


def test_a_reply_by_another_link_does_not_stand_for_the_expected_redelivery() -> None:
    """The redelivery of the brother's reply is still to come."""
    before = [EarlierReply("brother", True), EarlierReply("sister", False, by_other_link=True)]
    assert may_be_redelivery("sister", before)


def test_a_reply_by_another_link_may_be_redelivered_to_another_case() -> None:
    assert may_be_redelivery("sister", [EarlierReply("brother", True, by_other_link=True)])


def earlier(*replies: tuple[str | None, bool]) -> list[EarlierReply]:
    return [EarlierReply(case_id, unacknowledged) for case_id, unacknowledged in replies]


@pytest.mark.parametrize(
    ("before", "possible_redelivery"),
    [
        ([], False),
        ([("brother", ACKNOWLEDGED)], False),
        ([("brother", UNACKNOWLEDGED)], True),
        ([(None, UNACKNOWLEDGED)], True),  # it came before any question to the number
        ([("sister", UNACKNOWLEDGED)], False),  # a redelivery to the same case counts once in any case
        ([("brother", UNACKNOWLEDGED), ("brother", ACKNOWLEDGED)], True),  # the parent may have sent it twice
        ([("brother", UNACKNOWLEDGED), ("brother", UNACKNOWLEDGED)], True),  # and another redelivery is possible
        ([("brother", UNACKNOWLEDGED), ("sister", ACKNOWLEDGED)], False),  # one of the two was for the sister
        (
            [("brother", UNACKNOWLEDGED), ("sister", UNACKNOWLEDGED)],
            True,
        ),  # both may be redeliveries of the brother's
        ([("brother", UNACKNOWLEDGED), ("sister", UNACKNOWLEDGED), ("sister", ACKNOWLEDGED)], False),
        ([("brother", ACKNOWLEDGED), ("brother", UNACKNOWLEDGED)], True),
        ([("aunt", UNACKNOWLEDGED), ("brother", ACKNOWLEDGED)], True),
        ([("sister", ACKNOWLEDGED)] * (MAX_COMPARED - 1), False),
        ([("sister", ACKNOWLEDGED)] * MAX_COMPARED, True),  # there may be more, for any case
    ],
)
def test_a_reply_is_a_possible_redelivery_by_the_earlier_equal_replies(
    before: list[tuple[str | None, bool]], possible_redelivery: bool
) -> None:
    assert may_be_redelivery("sister", earlier(*before)) is possible_redelivery
