"""What the visitor tried and cannot be done."""


class RefusedAct(Exception):
    """The message says why, for the visitor."""
