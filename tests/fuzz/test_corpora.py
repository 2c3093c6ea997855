"""Every file of a corpus, and random changes of them, under the rules of its target. scripts/fuzz finds more.

Each file is named after its peculiarity; `found-` marks a finding of scripts/fuzz.
"""

import importlib
import random
from types import ModuleType

import fuzzing
import pytest

CHANGED_INPUTS = 60
NAMES = [name for name in fuzzing.TARGETS if name != "smpp"]  # tests/smpp/test_smpp_corpus.py has that
each_target = pytest.mark.parametrize("name", NAMES)


def rules_of(name: str) -> ModuleType:
    return importlib.import_module(fuzzing.TARGETS[name].rules)


@each_target
def test_every_input_of_a_corpus_keeps_the_rules_of_its_target(name: str) -> None:
    rules = rules_of(name)
    for file in sorted((fuzzing.ROOT / fuzzing.TARGETS[name].corpus).iterdir()):
        try:
            rules.probe(file.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {file}")
            raise


@each_target
def test_inputs_of_a_corpus_changed_at_random_keep_the_rules_of_its_target(name: str) -> None:
    rules, seeds = rules_of(name), fuzzing.TARGETS[name].seeds()
    rng = random.Random(random.getrandbits(32))
    for _ in range(CHANGED_INPUTS):
        octets = fuzzing.mutated(rng, seeds, rules.WORDS)
        try:
            rules.probe(octets)
        except Exception as error:
            error.add_note(f"the input is {octets!r}")
            raise


@each_target
def test_a_corpus_is_small(name: str) -> None:
    seeds = fuzzing.TARGETS[name].seeds()
    assert 20 < len(seeds) < 200
    assert sum(map(len, seeds)) < 200_000
    assert len(set(seeds)) == len(seeds)
    assert max(map(len, seeds)) <= fuzzing.MAX_INPUT_BYTES
