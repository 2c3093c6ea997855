"""schedule_delivery_time and validity_period: `YYMMDDhhmmsstnnp` (SMPP 3.4 §7.1.1)."""

import re
from datetime import UTC, datetime, timedelta

_FORMAT = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d)(\d\d)([-+R])")
QUARTER = timedelta(minutes=15)
DAYS_OF_YEAR, DAYS_OF_MONTH = 365, 30
"""The days of a year and of a month in a relative time."""


def seconds_until(text: str, now: datetime) -> float:
    """Seconds from `now`, which has an offset, until an absolute or relative time; ValueError if it is neither."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time of SMPP: {text!r}")
    *numbers, sign = match.groups()
    year, month, day, hour, minute, second, tenth, quarters = map(int, numbers)
    clock = timedelta(hours=hour, minutes=minute, seconds=second, milliseconds=100 * tenth)
    if sign == "R":
        return (clock + timedelta(days=DAYS_OF_YEAR * year + DAYS_OF_MONTH * month + day)).total_seconds()
    offset = QUARTER * (quarters if sign == "+" else -quarters)
    return (datetime(2000 + year, month, day, tzinfo=UTC) + clock - offset - now).total_seconds()
