"""Identities of persons: individual identification numbers (IIN, ЖСН), MSISDNs, and their masks for logs."""

import re
from enum import StrEnum

from gateway.limits import MAX_MSISDN_CHARACTERS


class IinFault(StrEnum):
    """Why a string is no IIN. The values are error codes of ``PUT /v1/lists``."""

    LENGTH = "iin_length"
    DIGITS = "iin_digits"
    CHECKSUM = "iin_checksum"


def iin_fault(iin: str) -> IinFault | None:
    """Why the string is no IIN; None when it is one.

    Only length, digits and check digit are checked: since 2013 the digits do not reliably encode birth date and
    sex.
    """
    if len(iin) != 12:
        return IinFault.LENGTH
    if not (iin.isascii() and iin.isdigit()):  # isdigit alone accepts ² and ٣ as well
        return IinFault.DIGITS
    # The octets are used instead of the digits: the surplus of 48 has the total weight 66, a multiple of 11.
    a, b, c, d, e, f, g, h, i, j, k, check = iin.encode()
    control = (a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k) % 11
    if control == 10:
        control = (3 * a + 4 * b + 5 * c + 6 * d + 7 * e + 8 * f + 9 * g + 10 * h + 11 * i + j + 2 * k) % 11
    # A control of 10 differs from every digit: such a number is never issued.
    if control != check - 48 or iin == "000000000000":
        return IinFault.CHECKSUM
    return None


# A letter, or a digit of another script, makes it no number: without that character it could be another person's.
_SPELLING = re.compile(r"\+?[0-9\s().\-\u2010-\u2015/]*")
_SEPARATOR = re.compile(r"[^0-9]+")
_INTERNATIONAL = re.compile(r"810|00")
_KAZAKH_MOBILE = re.compile(r"77(?:0[0-25-8]|47|6[0-4]|7[15-8]|85)[0-9]{7}")


def canonical_msisdn(raw: str) -> str | None:
    """The MSISDN as 11 digits, ``77011234567``; None when it is no Kazakh mobile number.

    Accepts the customary formats: ``8 (701) 123-45-67``, ``+77011234567``, ``8-10-7-701-1234567``: digits,
    separators and a leading ``+``, nothing else. Russia has the same country code 7: only the prefixes of Kazakh
    mobile operators are accepted.
    """
    if len(raw) > MAX_MSISDN_CHARACTERS or not _SPELLING.fullmatch(raw.strip()):
        return None
    digits = _SEPARATOR.sub("", raw)
    if dialled := _INTERNATIONAL.match(digits):
        digits = digits[dialled.end() :]
    if len(digits) == 11 and digits[0] == "8":
        digits = "7" + digits[1:]
    elif len(digits) == 10 and digits[0] == "7":
        digits = "7" + digits
    return digits if _KAZAKH_MOBILE.fullmatch(digits) else None


def mask_iin(iin: str) -> str:
    """The IIN masked for logs, ``8703••••••05``; all bullets unless it has 12 characters."""
    if len(iin) != 12:
        return "•" * len(iin)
    return f"{iin[:4]}••••••{iin[-2:]}"


def mask_msisdn(msisdn: str) -> str:
    """The MSISDN masked for logs, ``+7701•••••67``; all bullets unless it has 11 digits."""
    digits = msisdn.removeprefix("+")
    if len(digits) != 11:
        return "•" * len(msisdn)
    return f"+{digits[:4]}•••••{digits[-2:]}"
