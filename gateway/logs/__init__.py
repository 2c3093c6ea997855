"""The structured log of the gateway, and the redaction of personal data in it.

May import `evidence`, `consent`, `smpp` and the modules below them.
"""
