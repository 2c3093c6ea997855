"""The structured log of the gateway, and the redaction of personal data in it.

May import `evidence`, `consent`, `smpp` and the modules below them.
"""

import sys

# structlog imports rich for tracebacks in colour, which no line of the log has: 4 MB in each process.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog.dev  # noqa: F401

    del sys.modules["rich"]
