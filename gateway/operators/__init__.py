"""The shells to the SMSCs: links, connections, sending and receiving around the sans-I/O SMPP session.

They decode, call a use case and encode. May import `usecases`, `cluster`, `store`, `config`, `consent` and `smpp`.
"""
