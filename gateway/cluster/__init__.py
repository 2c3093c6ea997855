"""The processes that share one database: membership, lease, fencing, retries, wake-ups and scheduled jobs.

May import `store`, `config` and `logs`, and no use case.
"""
