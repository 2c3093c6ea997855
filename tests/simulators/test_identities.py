"""Synthetic persons: the gateway's validator, which is written independently, accepts what is generated."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from gateway.consent.identity import IinFault, canonical_msisdn, iin_fault
from gateway.simulators.identities import (
    PREFIXES,
    PersonGenerator,
    iins,
    nth_iin,
    with_check_digit,
    with_wrong_check_digit,
)


@given(st.from_regex(r"[0-9]{11}", fullmatch=True))
def test_a_generated_check_digit_is_the_one_that_the_validator_accepts(eleven: str) -> None:
    iin = with_check_digit(eleven)
    accepted = [digit for digit in "0123456789" if iin_fault(eleven + digit) is None]
    assert accepted == ([] if iin is None else [iin[-1]])


@given(st.integers(min_value=0, max_value=10**8 - 1))
def test_every_number_below_a_hundred_million_has_a_valid_iin(number: int) -> None:
    iin = nth_iin(number)
    assert iin_fault(iin) is None
    assert iin.startswith(f"99{number:08d}")
    assert iin_fault(with_wrong_check_digit(iin)) is IinFault.CHECKSUM


def test_iins_are_all_different() -> None:
    assert len(set(islice(iins(), 10_000))) == 10_000


@given(st.integers(), st.sampled_from(["kk", "ru"]), st.sampled_from(list(PREFIXES)))
def test_generated_persons_are_valid_and_the_same_for_the_same_seed(
    seed: int, language: str, operator: str
) -> None:
    generators = [PersonGenerator(seed) for _ in range(2)]
    persons = []
    for generator in generators:
        household = generator.household(language)
        adult = generator.adult(household, "father")
        children = [generator.pupil(household) for _ in range(2)]
        persons.append(([adult, *children], generator.msisdn(operator)))
    assert persons[0] == persons[1]
    (adult, first, second), msisdn = persons[0]
    assert not any(iin_fault(person.iin) for person in (adult, first, second))
    assert first.given_name != second.given_name
    assert canonical_msisdn(msisdn) == msisdn
    assert msisdn[1:4] in PREFIXES[operator]
