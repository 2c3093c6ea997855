"""Evidence of consents: digests, the Merkle tree over the journal, and the verification of records.

May import `consent`, `smpp` and the modules below them.
"""
