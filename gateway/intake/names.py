"""Which names can be read in a text: something to call somebody by, in characters that can be seen."""

import re
import unicodedata

_LETTER_OR_DIGIT = re.compile(r"[^\W_]")

# Default ignorables (Unicode 15, DerivedCoreProperties.txt) that `str.isprintable` takes for visible characters.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
INVISIBLE_OCTETS = b"\xcd\xe1\xe3\xef\xf3"
"""The first octets of these characters in UTF-8; no Kazakh or Russian letter begins with one."""


def is_name(name: str, is_person: bool) -> bool:
    """Whether the name has a letter (that of a school: a letter or a digit), and no character without a glyph.

    Spaces are no such characters. `has_invisible` finds those that Python takes for printable.
    """
    if not name.isprintable() and any(map(_has_no_glyph, name)):
        return False
    return any(map(str.isalpha, name)) if is_person else _LETTER_OR_DIGIT.search(name) is not None


def _has_no_glyph(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) != "Zs"


def has_invisible(name: str) -> bool:
    """Whether a character of the name is printable for Python, and invisible: a filler of Hangul, for example."""
    return _INVISIBLE.search(name) is not None
