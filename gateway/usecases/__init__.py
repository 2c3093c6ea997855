"""The use cases, one per file: each is one transaction that locks cases, decides, and writes rows.

No sockets and no HTTP. May import `cluster`, `store`, `config`, `logs`, `evidence`, `consent` and `smpp`.
"""
