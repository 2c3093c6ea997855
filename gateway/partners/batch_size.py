"""How many records go into one request to a partner that may find it too large (413)."""

GROW_AFTER = 100
"""Full requests accepted in a row, after which twice as many records are tried."""


class BatchSize:
    """The records of one request: halved for one that is too large, and doubled again, up to `most`, once that may
    have been settled.
    """

    def __init__(self, most: int) -> None:
        self.records = most
        self._most = most
        self._accepted = 0

    def too_large(self, records: int) -> None:
        """The partner did not accept a request with so many."""
        self.records = max(min(self.records, records // 2), 1)
        self._accepted = 0

    def accepted(self, records: int) -> None:
        """The partner accepted a request with so many."""
        if self.records == self._most or records < self.records:
            return
        self._accepted += 1
        if self._accepted == GROW_AFTER:
            self.records = min(2 * self.records, self._most)
            self._accepted = 0
