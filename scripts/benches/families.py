"""Families for the benches: any number of them, each with valid IINs and a number of its own."""

import json
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from gateway.simulators.identities import with_check_digit

_GIVEN = ("Нұрлан", "Әлихан", "Айзере", "Ерасыл", "Томирис", "Санжар", "Мадина", "Бекзат")
_SURNAMES = ("Ахметов", "Сейітқали", "Жұмабек", "Оспанов", "Қалдыбек", "Ибраимов", "Тілеуберді")
_PATRONYMICS = ("Ерланұлы", "Серікұлы", "Болатқызы", "Маратқызы", "Қайратұлы")
_MOTHERS = ("Айгүл", "Динара", "Гүлнар", "Сәуле", "Жанар", "Алтынай")


class Family(NamedTuple):
    """A pupil and the mother who is asked."""

    number: int
    pupil_iin: str
    mother_iin: str
    msisdn: str
    """The mother's number, as simulators.mcb.derived_number has it."""


def families(how_many: int, first: int = 1) -> Iterator[Family]:
    """So many families; the same for the same `first`."""
    found = 0
    for number in count(first):
        if found == how_many:
            return
        pupil, mother = with_check_digit(f"1311{number:07d}"), with_check_digit(f"8703{number:07d}")
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
