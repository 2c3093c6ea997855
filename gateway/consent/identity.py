"""Who somebody is: individual identification numbers (IIN, ЖСН), subscriber numbers, and their masks."""

import re
from enum import StrEnum


class IinFault(StrEnum):
    """Why a string is no IIN. The values are the codes of ``PUT /v1/lists``."""

    LENGTH = "iin_length"
    DIGITS = "iin_digits"
    CHECKSUM = "iin_checksum"


def iin_fault(iin: str) -> IinFault | None:
    """Why this is no IIN, or None when it is one.

    Only length, digits and check digit are judged: since 2013 the digits say nothing certain about birth date
    or sex.
    """
    if len(iin) != 12:
        return IinFault.LENGTH
    if not (iin.isascii() and iin.isdigit()):  # isdigit alone takes ² and ٣ as well
        return IinFault.DIGITS
    # Octets stand for their digits: the 48 that each has too much weighs 66 in all, a multiple of 11.
    a, b, c, d, e, f, g, h, i, j, k, check = iin.encode()
    control = (a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k) % 11
    if control == 10:
        control = (3 * a + 4 * b + 5 * c + 6 * d + 7 * e + 8 * f + 9 * g + 10 * h + 11 * i + j + 2 * k) % 11
    # A control of 10 equals no digit: such a number is never issued.
    if control != check - 48 or iin == "000000000000":
        return IinFault.CHECKSUM
    return None


# Asked of str, \D keeps the digits of every script: a number with a foreign one matches nothing below, where
# one that had lost it could be somebody else's.
_NOT_A_DIGIT = re.compile(r"\D+")
_INTERNATIONAL = re.compile(r"810|00")
_KAZAKH_MOBILE = re.compile(r"77(?:0[0-25-8]|47|6[0-4]|7[15-8]|85)[0-9]{7}")


def canonical_msisdn(raw: str) -> str | None:
    """The number as ``77011234567``, or None when it is no Kazakh mobile number.

    Takes it in any customary spelling: ``8 (701) 123-45-67``, ``+77011234567``, ``8-10-7-701-1234567``.
    Country code 7 is shared with Russia; the prefix decides.
    """
    digits = _NOT_A_DIGIT.sub("", raw)
    if dialled := _INTERNATIONAL.match(digits):
        digits = digits[dialled.end() :]
    if len(digits) == 11 and digits[0] == "8":
        digits = "7" + digits[1:]
    elif len(digits) == 10 and digits[0] == "7":
        digits = "7" + digits
    return digits if _KAZAKH_MOBILE.fullmatch(digits) else None


def mask_iin(iin: str) -> str:
    """The IIN as logs may show it, ``8703••••••05``; all bullets when it has not 12 characters."""
    if len(iin) != 12:
        return "•" * len(iin)
    return f"{iin[:4]}••••••{iin[-2:]}"


def mask_msisdn(msisdn: str) -> str:
    """The number as logs may show it, ``+7701•••••67``; all bullets when it has not 11 digits."""
    digits = msisdn.removeprefix("+")
    if len(digits) != 11:
        return "•" * len(msisdn)
    return f"+{digits[:4]}•••••{digits[-2:]}"
