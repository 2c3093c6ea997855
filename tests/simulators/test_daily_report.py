"""The daily report for NEDB."""

from gateway.simulators.playground.report import DailyReport


def test_the_daily_report_for_nedb_counts_each_event_once_on_its_local_date() -> None:
    wallet = [{"type": "activated", "at": "2026-11-28T23:59:59+05:00"}]
    statuses = [{"status": status, "at": "2026-11-28T10:00:00+05:00"} for status in ("asked", "no_number")]
    report = DailyReport(wallet, statuses)
    report.rows()
    wallet.append({"type": "used", "at": "2026-11-29T00:00:00+05:00"})
    assert report.rows() == [
        {"date": "2026-11-29", "activated": 0, "meals": 1, "no_number": 0, "service_received": 0},
        {"date": "2026-11-28", "activated": 1, "meals": 0, "no_number": 1, "service_received": 0},
    ]
