"""How a handset encodes and decodes text (GSM 03.38, UCS-2 and the other data_coding values)."""

from typing import Any

from smpplib import consts, gsm

# smpplib's table has a backtick where GSM 03.38 has the section sign, and no form feed.
_BASIC = gsm.GSM_CHARACTER_TABLE[:128].replace("`", "§")
_EXTENSION = {0x0A: "\f"} | {
    code: character for code, character in enumerate(gsm.GSM_CHARACTER_TABLE[128:]) if character != "`"
}


def gsm_decode(octets: bytes) -> str:
    """The text of unpacked GSM 03.38 septets; UnicodeError for octets that are none."""
    characters, codes = [], iter(octets)
    for code in codes:
        character = _EXTENSION.get(next(codes, -1)) if code == 0x1B else _BASIC[code] if code < 128 else None
        if character is None:
            raise UnicodeError(f"not GSM 03.38: {octets.hex()}")
        characters.append(character)
    return "".join(characters)


def gsm_encode(characters: str) -> bytes:
    """Unpacked GSM 03.38 septets; UnicodeError when the text needs UCS-2."""
    if "`" in characters:
        raise UnicodeError("no backtick in GSM 03.38")
    octets: bytes = gsm.gsm_encode(characters)
    return octets


def gsm_pack(septets: bytes) -> bytes:
    """Packed septets, as the radio interface carries them (3GPP TS 23.038 §6.1.2.1)."""
    bits = sum(septet << 7 * place for place, septet in enumerate(septets))
    return bits.to_bytes((7 * len(septets) + 7) // 8, "little")


ENCODINGS: dict[str, tuple[int, Any]] = {
    "gsm7": (consts.SMPP_ENCODING_DEFAULT, gsm_encode),
    "packed": (consts.SMPP_ENCODING_DEFAULT, lambda characters: gsm_pack(gsm_encode(characters))),
    "ascii": (consts.SMPP_ENCODING_IA5, lambda characters: characters.encode("ascii")),
    "latin1": (consts.SMPP_ENCODING_ISO88591, lambda characters: characters.encode("latin-1")),
    "cyrillic": (consts.SMPP_ENCODING_ISO88595, lambda characters: characters.encode("iso8859-5")),
    "ucs2": (consts.SMPP_ENCODING_ISO10646, lambda characters: characters.encode("utf-16-be")),
}
"""Encoding name → data_coding and encoder."""


def encode(characters: str, encoding: str = "auto") -> tuple[int, bytes]:
    """(data_coding, octets) of a text; `auto` is GSM 03.38 where the text fits it, otherwise UCS-2."""
    if encoding == "auto":
        try:
            return consts.SMPP_ENCODING_DEFAULT, gsm_encode(characters)
        except UnicodeError:
            encoding = "ucs2"
    data_coding, encoder = ENCODINGS[encoding]
    return data_coding, encoder(characters)


def alphabet(data_coding: int) -> str:
    """A key of ENCODINGS, or `octets`.

    Values below 0x10 are SMPP's own. Groups with a class, for automatic deletion or with an indication name their
    alphabet by bits of their own (3GPP TS 23.038 §4); compressed text is not decoded.
    """
    if data_coding < 0x10:
        return _SMPP_ALPHABETS.get(data_coding, "octets")
    match data_coding >> 4:
        case 0x1 | 0x4 | 0x5:
            return ("gsm7", "octets", "ucs2", "octets")[data_coding >> 2 & 3]
        case 0xC | 0xD:
            return "gsm7"
        case 0xE:
            return "ucs2"
        case 0xF:
            return "octets" if data_coding & 4 else "gsm7"
        case _:
            return "octets"


_SMPP_ALPHABETS = {data_coding: name for name, (data_coding, _) in reversed(ENCODINGS.items())}
"""`gsm7` of data_coding 0, which may be `packed` as well."""


def decode(octets: bytes, data_coding: int) -> str | None:
    """The text, or None when the octets are not valid in that coding."""
    try:
        match alphabet(data_coding):
            case "gsm7":
                return gsm_decode(octets)
            case "ucs2":
                return octets.decode("utf-16-be")
            case "cyrillic":
                return octets.decode("iso8859-5")
            case _:
                return octets.decode("latin-1")
    except UnicodeError:
        return None


def split(
    text: str | list[str], octets: bytes | list[bytes] | None, encoding: str, data_coding: int | None
) -> tuple[int, list[bytes]]:
    """(data_coding, user data of each segment) of a handset's message; raw `octets` replace the text.

    A list is one segment an item; a text too long for one segment is split here.
    """
    if octets is not None:
        return data_coding or 0, [octets] if isinstance(octets, bytes) else octets
    coding, whole = encode(text if isinstance(text, str) else "".join(text), encoding)
    if isinstance(text, list):
        name = "ucs2" if encoding == "auto" and coding == consts.SMPP_ENCODING_ISO10646 else encoding
        segments = [encode(item, name)[1] for item in text]
    else:
        single, segment = (
            (consts.SEVENBIT_LENGTH, consts.SEVENBIT_PART_SIZE - 1)
            if coding == consts.SMPP_ENCODING_DEFAULT
            else (consts.UCS2_LENGTH, consts.UCS2_PART_SIZE - 2)
        )
        segments = [whole] if len(whole) <= single else gsm.split_sequence(whole, segment)
    return coding if data_coding is None else data_coding, segments
