"""The families of one run, as everybody around the gateway knows them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.people import PREFIXES, People, Person, wrong_digit
from gateway.demo.repertoire import ROLES
from gateway.demo.roles import Number, Role, Script, Text

MCB_DOWN_BORN = "66"
"""First digits of the IINs about which the MCB cannot answer for a while."""

_SCHOOL = {"bin": "990240001234", "name": "№ 12 мектеп"}
_FOREIGN = "7916{:07d}"  # country code 7 is shared with Russia
_OTHER_NAMES = {"kcell": ("kcell", "Activ", None), "beeline": ("beeline", None, "tele2")}
"""How the MCB calls an operator, if it names one."""


@dataclass(eq=False)
class Child:
    """A record of the list, its script, and the texts that came about it."""

    record_id: str
    pupil: Person
    script: Script
    family: "Family"
    seen: list[Text] = field(default_factory=list)

    @property
    def has_case(self) -> bool:
        return bool(self.script.statuses)

    @property
    def consents(self) -> bool:
        return "consented" in self.script.statuses


@dataclass(eq=False)
class Family:
    """Children with the same relatives; at most one of these is ever asked."""

    number: int
    role: Role
    relatives: dict[str, Person]
    msisdn: str | None = None
    """Of the one who is asked."""
    operator: str = ""
    """Whose network the number is in: a link's name."""
    children: list[Child] = field(default_factory=list)

    @property
    def recipient(self) -> Person | None:
        return self.relatives[self.role.asked] if self.role.asked else None


class Cast:
    """`most` families of each role; None means as many as the role wants."""

    def __init__(self, most: int | None = None) -> None:
        self._people = People()
        self.families: list[Family] = []
        self.mcb: dict[str, tuple[str, str | None] | None] = {}
        """Number and operator by IIN, as the MCB has them."""
        for role in ROLES:
            for _ in range(role.families if most is None else min(most, role.families)):
                self.families.append(self._family(role, len(self.families)))
        self.by_msisdn = {family.msisdn: family for family in self.families if family.msisdn}

    @property
    def children(self) -> Iterator[Child]:
        return (child for family in self.families for child in family.children)

    def lines(self) -> Iterator[bytes]:
        """The recipient list, a record a line."""
        for child in self.children:
            yield json.dumps(_record(child), ensure_ascii=False).encode() + b"\n"

    def _family(self, role: Role, number: int) -> Family:
        people, household = self._people, self._people.household(role.language)
        born = MCB_DOWN_BORN if role.mcb_down else "8"
        family = Family(
            number=number,
            role=role,
            relatives={relation: people.adult(household, relation, born) for relation in role.knows},
        )
        self._subscribe(family, number)
        pupil = people.pupil(household)
        for script in role.children:
            record_id = f"r-{number + 1:03}" + chr(ord("a") + len(family.children)) * (len(role.children) > 1)
            family.children.append(Child(record_id=record_id, pupil=pupil, script=script, family=family))
            if not role.one_pupil:
                pupil = people.pupil(household)
        return family

    def _subscribe(self, family: Family, number: int) -> None:
        operators = list(PREFIXES)
        family.operator = operators[number % 2]
        for relation, known in family.role.knows.items():
            iin = family.relatives[relation].iin
            match known:
                case Number.NONE:
                    self.mcb[iin] = None
                case Number.FOREIGN:
                    self.mcb[iin] = (_FOREIGN.format(number), None)
                case Number.PORTED:
                    family.msisdn = self._people.msisdn(operators[(number + 1) % 2])
                    self.mcb[iin] = (family.msisdn, family.operator)
                case Number.OWN:
                    family.msisdn = self._people.msisdn(family.operator)
                    names = _OTHER_NAMES[family.operator]
                    self.mcb[iin] = (family.msisdn, names[number // 2 % len(names)])


def _record(child: Child) -> dict[str, Any]:
    family = child.family
    people = {relation: person.record() for relation, person in family.relatives.items()}
    pupil = child.pupil.record()
    if child.script.state == "rejected":
        pupil["iin"] = wrong_digit(child.pupil.iin)
    return {
        "record_id": child.record_id,
        "category": family.role.category,
        "language": family.role.language,
        "pupil": pupil,
        "school": _SCHOOL,
        "mother": people.get("mother"),
        "father": people.get("father"),
        "representatives": [people["representative"]] if "representative" in people else [],
    }
