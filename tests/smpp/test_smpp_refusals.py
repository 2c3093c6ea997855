"""Whom refusals are about, and when what was refused is tried again."""

import pytest

from gateway.smpp.refusals import LINK_AFTER_NUMBERS, Cause, LinkStop, Refusals
from gateway.smpp.status import StatusKind

UNCLEAR, REFUSED = StatusKind.UNCLEAR, StatusKind.REFUSED


def test_an_unclear_refusal_is_about_the_number_once_it_is_repeated_after_an_acceptance() -> None:
    refusals = Refusals()
    assert refusals.refused("77010000001", UNCLEAR, 0.0) is Cause.UNDECIDED
    refusals.accepted()
    assert refusals.refused("77010000001", UNCLEAR, 1.0, again=True) is Cause.NUMBER


@pytest.mark.parametrize(("kind", "again"), [(UNCLEAR, True), (REFUSED, False)])
def test_of_many_numbers_refused_in_a_row_two_are_believed_and_the_twentieth_stops_the_link(
    kind: StatusKind, again: bool
) -> None:
    refusals = Refusals()
    causes = [refusals.refused(f"7701{n:07}", kind, 0.0, again=again) for n in range(LINK_AFTER_NUMBERS)]
    assert causes == [Cause.NUMBER] * 2 + [Cause.UNDECIDED] * (LINK_AFTER_NUMBERS - 3) + [Cause.LINK]


@pytest.mark.parametrize(("outage", "wait"), [(0, 28), (600, 28), (1320, 60), (13_200, 600), (86_400, 600)])
def test_for_ten_minutes_there_is_a_try_every_28_seconds_and_then_fewer(outage: float, wait: float) -> None:
    refusals, stop = Refusals(), LinkStop()
    refusals.refused("77010000001", UNCLEAR, 5.0)
    refusals.refused("77010000002", UNCLEAR, 5.0 + outage)
    assert refusals.wait_seconds(5.0 + outage) == wait
    stop.stop(0x45, 5.0)
    stop.probed(5.0 + outage)
    assert stop.delay(5.0 + outage) == wait
