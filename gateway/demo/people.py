"""People who do not exist: names, IINs whose control digit holds, numbers that the numbering plan allows."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_KAZAKH = {
    "surnames": ("Ахметов", "Серіков", "Нұрланов", "Оспанов", "Жұмабаев", "Қасымов", "Бекмұхамбетов"),
    "boys": ("Нұрлан", "Әлихан", "Ерасыл", "Санжар", "Бекзат", "Дінмұхаммед"),
    "girls": ("Айзере", "Томирис", "Мадина", "Іңкәр", "Аяулым"),
    "women": ("Айгүл", "Динара", "Гүлнар", "Сәуле", "Жанар", "Алтынай"),
    "men": ("Ерлан", "Қайрат", "Болат", "Марат", "Ғалым"),
}
_RUSSIAN = {
    "surnames": ("Иванов", "Петров", "Соколов", "Кузнецов", "Морозов"),
    "boys": ("Артём", "Даниил", "Максим", "Роман"),
    "girls": ("Алина", "Вероника", "София", "Полина"),
    "women": ("Ольга", "Наталья", "Светлана", "Елена"),
    "men": ("Сергей", "Андрей", "Алексей"),
}
_NAMES = {"kk": _KAZAKH, "ru": _RUSSIAN}

PREFIXES = {"kcell": ("701", "702", "775", "778"), "beeline": ("705", "706", "771", "776", "777")}
"""Of the two operators there are here."""

_WEIGHTS = (range(1, 12), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody as a recipient list knows them."""

    iin: str
    surname: str
    given_name: str
    patronymic: str

    @property
    def full_name(self) -> str:
        return f"{self.surname} {self.given_name} {self.patronymic}"

    def record(self) -> dict[str, Any]:
        """The person in a record of the list."""
        return {
            "iin": self.iin,
            "surname": self.surname,
            "given_name": self.given_name,
            "patronymic": self.patronymic,
        }


@dataclass(slots=True)
class Household:
    """A surname, the father's given name, and the children's so far."""

    language: str
    surname: str
    father: str
    children: set[str]


class People:
    """An endless supply; no two share an IIN or a number. The same seed gives the same people."""

    def __init__(self, seed: int = 341) -> None:
        self._dice = random.Random(seed)
        self._taken: set[str] = set()

    def household(self, language: str) -> Household:
        names = _NAMES[language]
        return Household(language, self._dice.choice(names["surnames"]), self._dice.choice(names["men"]), set())

    def pupil(self, household: Household) -> Person:
        """A child, called otherwise than the others there."""
        female = self._dice.random() < 0.5
        names = _NAMES[household.language]["girls" if female else "boys"]
        given_name = self._dice.choice([name for name in names if name not in household.children])
        household.children.add(given_name)
        return self._person(household, given_name, household.father, female, "1" + self._dice.choice("0345"))

    def adult(self, household: Household, relation: str, born: str = "8") -> Person:
        """Mother, father or representative; the IIN begins with `born`."""
        names, female = _NAMES[household.language], relation != "father"
        given_name = self._dice.choice(names["women"]) if female else household.father
        return self._person(household, given_name, self._dice.choice(names["men"]), female, born)

    def msisdn(self, operator: str) -> str:
        """A number with a prefix of that operator's."""
        return self._new(lambda: f"7{self._dice.choice(PREFIXES[operator])}{self._dice.randrange(10**7):07}")

    def _person(self, household: Household, given_name: str, father: str, female: bool, born: str) -> Person:
        if household.language == "kk":
            patronymic = father + ("қызы" if female else "ұлы")
        else:
            patronymic = father.removesuffix("й") + ("евна" if female else "евич")
        surname = household.surname + "а" * female
        return Person(iin=self._iin(born), surname=surname, given_name=given_name, patronymic=patronymic)

    def _iin(self, beginning: str) -> str:
        def number() -> str:
            drawn = beginning + "".join(self._dice.choices("0123456789", k=11 - len(beginning)))
            return drawn[:2] + f"{self._dice.randint(1, 12):02}{self._dice.randint(1, 28):02}" + drawn[6:]

        return self._new(lambda: _with_control_digit(number()))

    def _new(self, draw: Callable[[], str | None]) -> str:
        """What is drawn first that nobody has yet."""
        while True:
            drawn = draw()
            if drawn and drawn not in self._taken:
                self._taken.add(drawn)
                return drawn


def wrong_digit(iin: str) -> str:
    """The IIN with a control digit that does not hold."""
    return iin[:-1] + str((int(iin[-1]) + 1) % 10)


def _with_control_digit(eleven: str) -> str | None:
    """The IIN that begins so; None when no control digit fits."""
    digits = [int(digit) for digit in eleven]
    for weights in _WEIGHTS:
        control = sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 11
        if control < 10:
            return f"{eleven}{control}"
    return None
