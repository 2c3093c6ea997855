"""The HTTP interface: lists, cases, statuses and the wallet's events. openapi.json describes it."""
