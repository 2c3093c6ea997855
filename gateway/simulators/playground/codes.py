"""Dynamic codes of vouchers, and their QR codes (order A2 §8)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import segno

from gateway.simulators.wallet import Voucher

CODE_SECONDS = 30.0
MAX_CODES = 1000
"""The number of codes that are remembered, so that an old one is called expired and not unknown."""
_QUIET_ZONE_MODULES = 4


@dataclass(slots=True, eq=False)
class Code:
    """A dynamic code of a voucher; `until` is monotonic seconds."""

    text: str
    voucher: Voucher
    until: float
    used: bool = False


class Codes:
    """The codes that are remembered. `now` is monotonic seconds; a code lasts `seconds`."""

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now, self.seconds = now, seconds
        self._codes: dict[str, Code] = {}

    def new(self, voucher: Voucher) -> Code:
        """A new code of this voucher; those before it last on."""
        text = f"{voucher.voucher_id}-{secrets.randbelow(10**6):06d}"
        code = self._codes[text] = Code(text, voucher, self._now() + self.seconds)
        for old in list(self._codes)[:-MAX_CODES]:
            del self._codes[old]
        return code

    def find(self, text: str) -> Code | None:
        """The code of this text; None when no such one was made."""
        return self._codes.get(text)

    def has_expired(self, code: Code) -> bool:
        """Whether its time is over."""
        return self._now() > code.until


def qr_code(text: str) -> dict[str, Any]:
    """Its QR code, as the `d` of an SVG path in a square of `modules`."""
    qr = segno.make(text, error="m", micro=False)
    return {"path": _path(qr), "modules": qr.symbol_size(border=_QUIET_ZONE_MODULES)[0]}


def _path(qr: segno.QRCode) -> str:
    """The dark modules: a rectangle for each run of them in a row."""
    runs = []
    for y, row in enumerate(qr.matrix, start=_QUIET_ZONE_MODULES):
        x = _QUIET_ZONE_MODULES
        for dark, modules in groupby(row):
            width = len(list(modules))
            runs.append(f"M{x} {y}h{width}v1h-{width}z" if dark else "")
            x += width
    return "".join(runs)
