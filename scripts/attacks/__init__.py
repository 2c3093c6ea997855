"""Attacks on a running gateway: what an attacker sends, and what honest parents and ops notice of it."""
