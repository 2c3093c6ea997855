"""The deadlines of a question: when it is repeated and when its case ends, in calendar days of the local date.

D is the local date on which the SMSC accepted the last segment of the request. Replies count until D+3, 24:00. The
repeat is due on D+4, when the send window opens. D' is the date of the last repeat; the case ends at D'+4, 00:00,
plus a grace period for replies in flight (order A1 §10). Instants are aware datetimes in business time; those
returned are UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_SEND_WINDOW = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DAY = timedelta(days=1)


def parse_send_window(text: str) -> tuple[timedelta, timedelta]:
    """The local times at which the window ``09:00-21:00`` opens and closes, as time since 00:00.

    ``00:00-24:00`` is always open. Raises ValueError for another format, and for a window that is empty or crosses
    midnight.
    """
    times = _SEND_WINDOW.fullmatch(text)
    if times is None:
        raise ValueError(f"not a window like 09:00-21:00: {text!r}")
    hour, minute, closing_hour, closing_minute = map(int, times.groups())
    opens = timedelta(hours=hour, minutes=minute)
    closes = timedelta(hours=closing_hour, minutes=closing_minute)
    if closes > _DAY:
        raise ValueError(f"later than 24:00: {text!r}")
    if opens >= closes:
        raise ValueError(f"closes before it opens: {text!r}")
    return opens, closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The local calendar: the days to reply, the grace period and the daily send window.

    ``window_opens`` (included) and ``window_closes`` (excluded) are local times as ``parse_send_window`` returns
    them.
    """

    timezone: ZoneInfo
    answer_days: int
    grace: timedelta
    window_opens: timedelta
    window_closes: timedelta

    def local_date(self, at: datetime) -> date:
        """The local date at that instant."""
        return at.astimezone(self.timezone).date()

    def repeat_at(self, accepted_at: datetime) -> datetime:
        """When a question that was accepted then is due for its repeat."""
        return self._instant(self._day_after_replies(accepted_at), self.window_opens)

    def end_at(self, accepted_at: datetime) -> datetime:
        """When a case ends whose last question was accepted then; includes the grace period."""
        return self._instant(self._day_after_replies(accepted_at)) + self.grace

    def in_window(self, at: datetime) -> bool:
        """Whether requests and repeats may be sent at that instant."""
        day = self.local_date(at)
        return self._instant(day, self.window_opens) <= at < self._instant(day, self.window_closes)

    def next_opening(self, at: datetime) -> datetime:
        """The first instant not before ``at`` that is inside the window."""
        if self.in_window(at):
            return at
        day = self.local_date(at)
        opening = self._instant(day, self.window_opens)
        return opening if at < opening else self._instant(day + _DAY, self.window_opens)

    def school_year(self, at: datetime) -> str:
        """The school year as ``2026/2027``; it begins on 1 September."""
        year = self._school_year(at)
        return f"{year}/{year + 1}"

    def school_year_start(self, at: datetime) -> datetime:
        """The first instant of the school year that contains ``at``."""
        return self._instant(date(self._school_year(at), 9, 1))

    def iso_local(self, at: datetime) -> str:
        """RFC 3339 with the local offset and milliseconds: ``2026-11-22T10:15:03.512+05:00``."""
        return at.astimezone(self.timezone).isoformat(timespec="milliseconds")

    def _day_after_replies(self, accepted_at: datetime) -> date:
        return self.local_date(accepted_at) + timedelta(days=self.answer_days + 1)

    def _school_year(self, at: datetime) -> int:
        day = self.local_date(at)
        return day.year if day.month >= 9 else day.year - 1

    def _instant(self, day: date, local_time: timedelta = timedelta()) -> datetime:
        """The instant of a local time on that date; of two, when clocks are put back, the first."""
        return _instant(self.timezone, day, local_time)


@lru_cache(maxsize=256)
def _instant(timezone: ZoneInfo, day: date, local_time: timedelta) -> datetime:
    """Of few days: the same one for all texts of a campaign."""
    # Adding to an aware datetime is arithmetic on local time, not elapsed time; 24:00 is 00:00 of the next day.
    return (datetime.combine(day, time.min, timezone) + local_time).astimezone(UTC)
