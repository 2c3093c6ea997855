"""Synthetic persons and records for lists that tests push."""

from typing import Any

PUPILS = ("131106697007", "120915597004", "061211600012", "120915597511")
MOTHER = "870312497005"
FATHER = "841130397007"

_SURNAMES = ("Ахмет", "Серік", "Нұрлан", "Бекболат", "Жұмабай", "Қасым", "Омар")
_GIVEN_NAMES = ("Нұрлан", "Айгүл", "Ерлан", "Динара", "Әлия")


def person(iin: str, number: int = 0, ending: str = "ов") -> dict[str, Any]:
    """A person with that IIN; the number selects a name."""
    return {
        "iin": iin,
        "surname": _SURNAMES[number % len(_SURNAMES)] + ending,
        "given_name": _GIVEN_NAMES[number % len(_GIVEN_NAMES)],
        "patronymic": _SURNAMES[(number + 2) % len(_SURNAMES)] + "ұлы",
    }


def good(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid record; every number has its own record_id and pupil. `changes` replace fields."""
    return {
        "record_id": f"r-{number}",
        "category": 1,
        "language": "kk",
        "pupil": person(PUPILS[number - 1], number),
        "school": {"bin": "990240001234", "name": "№ 12 мектеп"},
        "mother": person(MOTHER, number + 1, "ова"),
        "father": None,
        "representatives": [],
        **changes,
    }
