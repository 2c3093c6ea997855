"""The health of a link, by a clock of the test."""

from pathlib import Path

from structlog.testing import capture_logs

from gateway.config import load
from gateway.operators.link_health import LinkHealth

LINK = load(Path(__file__).parents[2] / "config.toml", environ={}, secrets=False).links[0]


def test_a_silence_of_the_smsc_is_logged_once_and_again_after_an_acceptance() -> None:
    now = 1_000.0
    health = LinkHealth(LINK, 28.0, lambda: now)
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
