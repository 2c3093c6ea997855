"""The families of one run: their persons, numbers and records."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.model import FamilyKind, Number, Scenario, Text
from gateway.demo.scenarios import KINDS, visitor
from gateway.simulators.identities import PREFIXES, Person, PersonGenerator, with_wrong_check_digit

MCB_DOWN_IIN_PREFIX = "66"
"""First digits of the IINs whose look-ups fail for a while."""

_SCHOOL = {"bin": "990240001234", "name": "№ 12 мектеп"}
_FOREIGN = "7916{:07d}"  # country code 7 is shared with Russia
_OTHER_NAMES = {"kcell": ("kcell", "Activ", None), "beeline": ("beeline", None, "tele2")}
"""What the MCB has as the operator's name: None when it has none."""


@dataclass(eq=False)
class Child:
    """A record of the list, its scenario, and the texts about it that have arrived."""

    record_id: str
    pupil: Person
    scenario: Scenario
    family: "Family"
    seen: list[Text] = field(default_factory=list)

    @property
    def consents(self) -> bool:
        return "consented" in self.scenario.statuses


@dataclass(eq=False)
class Family:
    """Children with the same relatives; at most one of these is ever asked."""

    number: int
    kind: FamilyKind
    relatives: dict[str, Person]
    msisdn: str | None = None
    """The number of the person who is asked."""
    operator: str = ""
    """The operator of the number: a link's name."""
    children: list[Child] = field(default_factory=list)

    @property
    def recipient(self) -> Person | None:
        return self.relatives[self.kind.asked] if self.kind.asked else None


class Families:
    """All families, at most `limit` of each kind; None: as many as the kind has."""

    def __init__(self, limit: int | None = None) -> None:
        self._generator = PersonGenerator()
        self.families: list[Family] = []
        self.mcb: dict[str, tuple[str, str | None] | None] = {}
        """(MSISDN, operator) by IIN, as the MCB has them."""
        self.by_msisdn: dict[str, Family] = {}
        for kind in KINDS:
            for _ in range(kind.families if limit is None else min(limit, kind.families)):
                self._add(kind)

    @property
    def children(self) -> Iterator[Child]:
        return (child for family in self.families for child in family.children)

    def lines(self) -> Iterator[bytes]:
        """The recipient list, a record a line."""
        return map(record_line, self.children)

    def add_visitor(self, language: str) -> Family:
        """One more family with one child, which nobody plays but the visitor."""
        return self._add(visitor(language))

    def _add(self, kind: FamilyKind) -> Family:
        family = self._family(kind, len(self.families))
        self.families.append(family)
        if family.msisdn:
            self.by_msisdn[family.msisdn] = family
        return family

    def _family(self, kind: FamilyKind, number: int) -> Family:
        household = self._generator.household(kind.language)
        iin_prefix = MCB_DOWN_IIN_PREFIX if kind.mcb_down else "8"
        family = Family(
            number=number,
            kind=kind,
            relatives={
                relation: self._generator.adult(household, relation, iin_prefix) for relation in kind.numbers
            },
        )
        self._assign_number(family, number)
        pupil = self._generator.pupil(household)
        for scenario in kind.children:
            record_id = f"r-{number + 1:03}" + chr(ord("a") + len(family.children)) * (len(kind.children) > 1)
            family.children.append(Child(record_id=record_id, pupil=pupil, scenario=scenario, family=family))
            if not kind.one_pupil:
                pupil = self._generator.pupil(household)
        return family

    def _assign_number(self, family: Family, number: int) -> None:
        operators = list(PREFIXES)
        family.operator = operators[number % 2]
        for relation, found in family.kind.numbers.items():
            iin = family.relatives[relation].iin
            match found:
                case Number.NONE:
                    self.mcb[iin] = None
                case Number.FOREIGN:
                    self.mcb[iin] = (_FOREIGN.format(number), None)
                case Number.PORTED:
                    family.msisdn = self._generator.msisdn(operators[(number + 1) % 2])
                    self.mcb[iin] = (family.msisdn, family.operator)
                case Number.OWN:
                    family.msisdn = self._generator.msisdn(family.operator)
                    names = _OTHER_NAMES[family.operator]
                    self.mcb[iin] = (family.msisdn, names[number // 2 % len(names)])


def record_line(child: Child) -> bytes:
    """The child's line of a recipient list."""
    return json.dumps(_record(child), ensure_ascii=False).encode() + b"\n"


def _record(child: Child) -> dict[str, Any]:
    family = child.family
    relatives = {relation: person.record() for relation, person in family.relatives.items()}
    pupil = child.pupil.record()
    if child.scenario.state == "rejected":
        pupil["iin"] = with_wrong_check_digit(child.pupil.iin)
    return {
        "record_id": child.record_id,
        "category": family.kind.category,
        "language": family.kind.language,
        "pupil": pupil,
        "school": _SCHOOL,
        "mother": relatives.get("mother"),
        "father": relatives.get("father"),
        "representatives": [relatives["representative"]] if "representative" in relatives else [],
    }
