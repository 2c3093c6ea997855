"""What the partners last responded to this process, from its counters."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

# Names of samples of metrics.py.
_RESPONDED = "gateway_partner_responded_timestamp_seconds"
_FAILED = "gateway_partner_failed_timestamp_seconds"
_FAILURE = "gateway_partner_failure_info"
_PAUSED = "gateway_partner_paused"
PARTNER_SAMPLES = (_RESPONDED, _FAILED, _FAILURE)
"""The samples that `shown_partners` needs, besides the gauge of paused partners."""


def shown_partners(
    partners: Collection[str], counted: Mapping[tuple[str, ...], int], local: Callable[[datetime], str]
) -> list[dict[str, Any]]:
    """For each partner: when it last responded, when and why a request last failed, and whether it is paused."""

    def at(sample: str, partner: str) -> str | None:
        seconds = counted.get((sample, partner))
        return local(datetime.fromtimestamp(seconds, UTC)) if seconds else None

    def labels(sample: str, partner: str) -> str | None:
        found = (key[2] for key, value in counted.items() if key[:2] == (sample, partner) and value)
        return next(found, None)

    return [
        {
            "partner": partner,
            "responded_at": at(_RESPONDED, partner),
            "failed_at": at(_FAILED, partner),
            "failure": labels(_FAILURE, partner),
            "paused": labels(_PAUSED, partner),
        }
        for partner in partners
    ]
