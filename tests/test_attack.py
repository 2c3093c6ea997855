"""Short attacks on a real gateway: nothing lost, nothing invented. `scripts/attack` makes long ones."""

import pytest
from attacks.main import ATTACKS, Result, run

SHORT = ["forged_senders", "stray_responses", "long_heads", "list_of_marks"]


async def test_attacks_lose_and_invent_nothing() -> None:
    results = [result async for result in run(SHORT, honest=20, victims=10, seconds=5.0)]
    assert [(result.attack, result.failures) for result in results] == [(name, []) for name in SHORT]


def test_every_attack_has_a_docstring() -> None:
    assert set(SHORT) <= ATTACKS.keys()
    assert all(attack.__doc__ for attack in ATTACKS.values())


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({}, []),
        ({"lost": 1}, ["1 parents agreed and have no voucher"]),
        ({"invented": 2}, ["2 parents consented who never replied"]),
        ({"exceptions": 3}, ["3 exceptions in the log"]),
        ({"violations": ["a token in a trailer"]}, ["a token in a trailer"]),
        ({"acknowledged_p99_ms": 251.0}, ["251 ms until a reply was acknowledged (p99)"]),
        ({"attack": "tls_handshakes", "peak_rss_mb": 210.0}, ["210 MB of RSS"]),
        ({"peak_rss_mb": 300.0, "recovery_seconds": 6.0}, ["300 MB of RSS", "6 s of recovery"]),
    ],
)
def test_the_result_of_an_attack_reports_every_exceeded_limit(
    measured: dict[str, object], told: list[str]
) -> None:
    good: dict[str, object] = {
        "attack": "a", "seconds": 1.0, "acknowledged_p99_ms": 20.0, "peak_rss_mb": 70.0, "growth_mb": 1.0,
        "recovery_seconds": 0.1, "lost": 0, "invented": 0, "exceptions": 0, "violations": [],
    }  # fmt: skip
    result = Result(**{**good, **measured})  # type: ignore[arg-type]
    assert [*result.failures, *result.excesses] == told
