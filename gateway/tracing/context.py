"""The trace context that partners get (W3C Trace Context, header `traceparent`).

The trace of a case is its case_id: the 128 bits of the ULID, written as 32 hexadecimal digits. So every process
continues it, nothing has to be kept, and whoever has either form finds the other.
"""

import hashlib
import os
from collections.abc import Iterable

HEADER = "traceparent"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE_32 = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")  # the digits of int(…, 32)


def trace_of_case(case_id: str) -> str:
    """The trace-id of a case, 32 hexadecimal digits."""
    return f"{int(case_id.translate(_BASE_32), 32):032x}"


def trace_of_list(list_id: str) -> str:
    """The trace-id of a list, of which the traces of its cases know."""
    return _digest(f"list {list_id}")


def trace_of_batch(case_ids: Iterable[str]) -> str:
    """The trace-id of a request for several cases; a repeated one has the same."""
    return _digest("batch " + " ".join(case_ids))


def root_of(trace_id: str) -> str:
    """The span-id of the trace's first span, 16 hexadecimal digits: the same in every process, never zero."""
    return f"{int(trace_id[16:], 16) or 1:016x}"


def traceparent(trace_id: str) -> str:
    """The header's value for one request of the trace.

    Its parent-id is of this request alone. The flag `sampled` is set, as nothing is known against it: whether the
    partner records the request is the partner's choice. Where spans are recorded, the request's span replaces it.
    """
    return f"00-{trace_id}-{os.urandom(8).hex()}-01"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
