"""The SQL of the gateway: one function per statement, rows as named tuples, and the embedded PostgreSQL.

No decisions are made here. May import `config`, `logs`, `evidence`, `consent`, `smpp` and the modules below them.
"""
