"""Recipient lists: a body becomes lines, lines become validated records, which are staged for acceptance."""
