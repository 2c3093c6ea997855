"""Families for the benches: as many as wanted, each with an IIN that holds and a number of its own."""

import json
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

_GIVEN = ("Нұрлан", "Әлихан", "Айзере", "Ерасыл", "Томирис", "Санжар", "Мадина", "Бекзат")
_SURNAMES = ("Ахметов", "Сейітқали", "Жұмабек", "Оспанов", "Қалдыбек", "Ибраимов", "Тілеуберді")
_PATRONYMICS = ("Ерланұлы", "Серікұлы", "Болатқызы", "Маратқызы", "Қайратұлы")
_MOTHERS = ("Айгүл", "Динара", "Гүлнар", "Сәуле", "Жанар", "Алтынай")


class Family(NamedTuple):
    number: int
    pupil_iin: str
    mother_iin: str
    msisdn: str  # the mother's, as fakes.mcb derives it


def families(how_many: int, first: int = 1) -> Iterator[Family]:
    """So many families; the same `first` gives the same ones."""
    found = 0
    for number in count(first):
        if found == how_many:
            return
        pupil, mother = _iin(f"1311{number:07d}"), _iin(f"8703{number:07d}")
        if pupil and mother:
            found += 1
            yield Family(number, pupil, mother, f"7701{number:07d}")


def record(family: Family) -> dict[str, object]:
    """The family's line of a recipient list, names of ordinary length, in Kazakh."""
    n = family.number
    surname = _SURNAMES[n % len(_SURNAMES)]
    return {
        "record_id": f"r-{n:07d}",
        "category": n % 3 + 1,
        "language": "kk",
        "pupil": {
            "iin": family.pupil_iin,
            "surname": surname,
            "given_name": _GIVEN[n % len(_GIVEN)],
            "patronymic": _PATRONYMICS[n % len(_PATRONYMICS)],
        },
        "school": {"bin": "990240001234", "name": "№ 12 мектеп"},
        "mother": {
            "iin": family.mother_iin,
            "surname": surname,
            "given_name": _MOTHERS[n % len(_MOTHERS)],
            "patronymic": _PATRONYMICS[(n + 2) % len(_PATRONYMICS)],
        },
        "father": None,
        "representatives": [],
    }


def ndjson(some: Iterator[Family] | list[Family]) -> bytes:
    """The body of a list."""
    return b"".join(json.dumps(record(family), ensure_ascii=False).encode() + b"\n" for family in some)


def _iin(eleven: str) -> str | None:
    """The IIN that begins so; None when no check digit fits."""
    digits = [int(digit) for digit in eleven]
    for weights in (range(1, 12), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)):
        control = sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 11
        if control < 10:
            return f"{eleven}{control}"
    return None
