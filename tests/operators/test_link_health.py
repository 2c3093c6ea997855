"""The health of a link, by a clock of the test."""

from pathlib import Path

from structlog.testing import capture_logs

from gateway.config import load
from gateway.config.policy import LinkPolicy
from gateway.operators.link_health import LinkHealth

LINK = load(Path(__file__).parents[2] / "config.toml", environ={}, secrets=False).links[0]


def test_a_silence_of_the_smsc_is_logged_once_and_again_after_an_acceptance() -> None:
    now = 1_000.0
    health = LinkHealth(LINK, LinkPolicy(), lambda: now)
    with capture_logs() as lines:
        for _ in range(2):
            health.submitted(now)
            health.report()
            now += LINK.response_timeout.total_seconds() + 1
            health.submitted(now)  # throttled, and sent again
            assert health.report().unaccepted_since == now - 31
            assert health.report().unaccepted_since == now - 31
            health.accepted(now)
            assert health.report().unaccepted_since is None
            now += 1
    assert [(line["event"], line["link"], line["seconds"]) for line in lines] == [
        ("link_nothing_accepted", "kcell", 31.0)
    ] * 2


def test_responses_are_late_until_they_have_been_in_time_for_ten_minutes() -> None:
    now = 1_000.0
    health = LinkHealth(LINK, LinkPolicy(), lambda: now)
    for late in (40.0, 50.0, 31.0):
        health.responded_late(late)
        health.accepted_late(late)
        now += 599.0
        health.accepted(now)
        assert health.report().needed_timeout_seconds == max(late, 50.0 if late == 31.0 else late) * 1.5
    now += 3_600.0
    assert health.report().needed_timeout_seconds == 75.0  # nothing was sent
    health.accepted(now)
    assert health.report().needed_timeout_seconds is None
    health.responded_late(35.0)
    assert health.report().needed_timeout_seconds == 52.5
