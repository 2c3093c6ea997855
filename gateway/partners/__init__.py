"""The shells to the MCB, the wallet and SDU: HTTP clients, and the tasks that call use cases with their responses.

May import `usecases`, `cluster`, `store`, `config`, `logs`, `consent` and the modules below them.
"""
