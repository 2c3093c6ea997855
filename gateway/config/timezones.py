"""Time zones of the ``tzdata`` package, not of the host.

Almaty changed its offset on 2024-03-01: a host with rules older than 2024a is an hour off.
"""

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo


@cache
def load_timezone(key: str) -> ZoneInfo:
    """The time zone of that name. Raises ValueError for an unknown one."""
    if ".." in key.split("/"):
        raise ValueError(f"unknown time zone: {key!r}")
    try:
        with resources.files("tzdata.zoneinfo").joinpath(*key.split("/")).open("rb") as rules:
            return ZoneInfo.from_file(rules, key=key)
    except (OSError, ValueError) as error:
        raise ValueError(f"unknown time zone: {key!r}") from error
