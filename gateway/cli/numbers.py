"""Numbers of the command line, within their limits."""

import argparse
from collections.abc import Callable


def whole(least: int, most: int = 10**18) -> Callable[[str], int]:
    """Reads a whole number from `least` to `most`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
            limits = f"from {least}" + (f" to {most}" if most < 10**18 else "")
            raise argparse.ArgumentTypeError(f"a whole number {limits} is expected, not {text!r}")
        return int(text)

    return read


def seconds(least: float, most: float = 1e6) -> Callable[[str], float]:
    """Reads a length of time from `least` to `most` seconds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:  # nan is outside, too
            expected = f"a number of seconds from {least:g} to {most:,.0f} is expected"
            raise argparse.ArgumentTypeError(f"{expected}, not {text!r}")
        return value

    return read
