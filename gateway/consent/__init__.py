"""The order as pure functions: the journey of a case, its question, replies, texts, identities and deadlines.

No I/O, no clock, no files, no SQL. May import nothing of the gateway but itself.
"""
