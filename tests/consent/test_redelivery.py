"""Whether a reply may be the copy of one to another case."""

import pytest

from gateway.consent.redelivery import MAX_COMPARED, EarlierReply, may_be_redelivery

HEARD, UNHEARD = False, True


def earlier(*replies: tuple[str | None, bool]) -> list[EarlierReply]:
    return [EarlierReply(case_id, unacknowledged) for case_id, unacknowledged in replies]


@pytest.mark.parametrize(
    ("before", "possible_redelivery"),
    [
        ([], False),
        ([("brother", HEARD)], False),
        ([("brother", UNHEARD)], True),
        ([(None, UNHEARD)], True),  # it came before anybody was asked there
        ([("sister", UNHEARD)], False),  # her own answer, again: one answer all the same
        ([("brother", UNHEARD), ("brother", HEARD)], True),  # his parent may have said it twice
        ([("brother", UNHEARD), ("brother", UNHEARD)], True),  # and may come once more
        ([("brother", UNHEARD), ("sister", HEARD)], False),  # one of the two was meant for her
        ([("brother", UNHEARD), ("sister", UNHEARD)], True),  # both may be the brother's, thrice delivered
        ([("brother", UNHEARD), ("sister", UNHEARD), ("sister", HEARD)], False),
        ([("brother", HEARD), ("brother", UNHEARD)], True),
        ([("aunt", UNHEARD), ("brother", HEARD)], True),
        ([("sister", HEARD)] * (MAX_COMPARED - 1), False),
        ([("sister", HEARD)] * MAX_COMPARED, True),  # there may be more, of anybody
    ],
)
def test_a_reply_to_the_sister(before: list[tuple[str | None, bool]], possible_redelivery: bool) -> None:
    assert may_be_redelivery("sister", earlier(*before)) is possible_redelivery
