"""Fuzzes everything that reads what others have written, one target after the other; without names, all of them.

Each target has a corpus of small files, and a module with its rules: which exceptions may come, and what holds
of the result. An exception that is only logged violates them, too. With atheris
(https://github.com/google/atheris) the mutations are guided by coverage; inputs that reach new code are kept in
var/fuzz/TARGET and used by the next run. Without it the mutations are random. An input that violates a rule is
written to var/fuzz/TARGET-wrong-…, and the exit status is not 0. It belongs into the corpus, named `found-` and
its peculiarity.
"""

import argparse
import hashlib
import importlib
import importlib.util
import io
import random
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from logged import exceptions

from gateway.logs import log

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "var" / "fuzz"
MAX_INPUT_BYTES = 4096


class Target(NamedTuple):
    """What is fuzzed."""

    rules: str
    """A module with `probe(octets)`, which raises for a violated rule, and WORDS: octets that readers look for."""
    corpus: str
    """A folder with the inputs to begin with, from the repository's root."""
    readers: tuple[str, ...]
    """The modules and packages whose coverage guides atheris."""

    def seeds(self) -> list[bytes]:
        """The inputs of the corpus, by their names."""
        return [file.read_bytes() for file in sorted((ROOT / self.corpus).iterdir())]


def _target(name: str, *readers: str) -> Target:
    return Target(f"tests.fuzz.{name}", f"tests/fuzz/corpus/{name}", readers)


TARGETS = {
    "smpp": Target("tests.smpp.fuzz_target", "tests/smpp/corpus", ("gateway.smpp",)),
    "user-data": _target("user_data", "gateway.smpp", "gateway.operators.decoding"),
    "receipts": _target("receipts", "gateway.smpp.receipt"),
    "replies": _target("replies", "gateway.consent.reply"),
    "list-lines": _target("list_lines", "gateway.intake", "gateway.consent.identity"),
    "log-lines": _target("log_lines", "gateway.cli.log_lines", "gateway.cli.tail"),
    "partners": _target("partner_responses", "gateway.partners"),
    "evidence": _target(
        "evidence_records", "gateway.evidence", "gateway.consent.events", "gateway.consent.details"
    ),
    "configuration": _target("configuration", "gateway.config"),
}


def main() -> int:
    """0 when no rule was violated."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="how long for each target (60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1_000_000))
    parser.add_argument("--plain", action="store_true", help="without atheris, also where it is installed")
    given = parser.parse_args()
    names = given.targets or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        parser.error(f"no target {min(unknown)!r}; there are {', '.join(TARGETS)}")
    if len(names) > 1:  # libFuzzer ends its process, so that each target has one
        options = ["--seconds", str(given.seconds), "--seed", str(given.seed), *["--plain"] * given.plain]
        command = [sys.executable, "-P", "-m", "fuzzing", *options]
        return max(abs(subprocess.run([*command, name], check=False).returncode) for name in names)
    (name,) = names
    print(f"target {name}, seed {given.seed}", flush=True)
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    if not given.plain and importlib.util.find_spec("atheris"):
        return _run_atheris(name, given.seconds, given.seed)
    if not given.plain:
        print("atheris is not installed and cannot be installed here; the mutations are random")
    rules = importlib.import_module(TARGETS[name].rules)
    tried, wrong = mutate_randomly(
        TARGETS[name].seeds(),
        watched(rules.probe),
        rules.WORDS,
        seconds=given.seconds,
        seed=given.seed,
        kept=KEPT / f"{name}-wrong-",
    )
    print(f"{name}: {tried:,} inputs;", f"violation: {wrong}" if wrong else "no violation", flush=True)
    return 1 if wrong else 0


def watched(probe: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The probe, which raises AssertionError for an exception in the log as well. The log is kept in memory."""
    lines = io.BytesIO()
    log.configure("warning", lines)

    def watched_probe(octets: bytes) -> None:
        probe(octets)
        if written := lines.getvalue():
            lines.seek(0)
            lines.truncate()
            if logged := exceptions(written):
                raise AssertionError(f"exceptions in the log: {dict(logged)}")

    return watched_probe


def _run_atheris(name: str, seconds: int, seed: int) -> int:
    """Runs libFuzzer, which ends the process itself."""
    atheris: Any = importlib.import_module("atheris")

    target = TARGETS[name]
    with atheris.instrument_imports(include=list(target.readers)):
        rules = importlib.import_module(target.rules)
    dictionary = KEPT / f"{name}-words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in rules.WORDS), encoding="ascii")
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-dict={dictionary}",
        f"-artifact_prefix={KEPT}/{name}-wrong-",
    ]
    folders = [str(KEPT / name), str(ROOT / target.corpus)]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", *folders], watched(rules.probe))
    atheris.Fuzz()
    return 0


def _escaped(word: bytes) -> str:
    """The word as a dictionary of libFuzzer has it."""
    return "".join(f"\\x{octet:02x}" for octet in word)


def mutate_randomly(
    seeds: Sequence[bytes],
    probe: Callable[[bytes], None],
    words: Sequence[bytes],
    *,
    seconds: float,
    seed: int,
    kept: Path,
) -> tuple[int, Path | None]:
    """How many inputs were tried until the time was up or one violated a rule, and the file of that one.

    The file's name is `kept` and a digest.
    """
    rng = random.Random(seed)
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        octets = mutated(rng, seeds, words)
        tried += 1
        try:
            probe(octets)
        except Exception:
            traceback.print_exc()
            wrong = kept.with_name(kept.name + hashlib.sha256(octets).hexdigest()[:16])
            wrong.write_bytes(octets)
            return tried, wrong
    return tried, None


def mutated(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the seeds with a few octets or words inserted, deleted or replaced; another seed may follow."""
    octets = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(octets))
        new = rng.choice((rng.randbytes(1), rng.choice(words), rng.randbytes(rng.randint(1, 8))))
        match rng.randrange(6):
            case 0:
                octets[at:at] = new
            case 1:
                del octets[at : at + rng.randint(1, 8)]
            case 2 | 3:
                octets[at : at + len(new)] = new
            case 4:
                octets += rng.choice(seeds)
            case 5 if found := re.compile(rb"\w+").search(octets, at):
                octets[found.start() : found.end()] = rng.choice(words)
    return bytes(octets[:MAX_INPUT_BYTES])


if __name__ == "__main__":
    sys.exit(main())
