"""SMPP 3.4 without I/O: PDUs, the session, pacing, texts and segments, receipts, USSD.

May import nothing of the gateway but itself, and no clock, socket or asyncio.
"""
