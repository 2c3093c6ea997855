"""Fuzzes everything that reads octets from an SMSC, with mutations of the files in tests/smpp/corpus.

With atheris (https://github.com/google/atheris) the mutations are guided by coverage; inputs that reach new code
are kept in var/fuzz/found and used by the next run. Without it the mutations are random. An input that violates a
property of tests/smpp/fuzz_target.py is written to var/fuzz/wrong-…, and the exit status is not 0.
"""

import argparse
import hashlib
import importlib
import importlib.util
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "smpp" / "corpus"
MAX_INPUT_BYTES = 4096
BOUNDARY_VALUES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x1b",
    b"\0\0\0\x10",
    b"\0\0\0\x0f",
    b"\0\1\0\0",
    b"\0\1\0\1",
    b"\4\x24",
)
"""Octets at which parsers often fail: limits of command_length, an escape, the tag of message_payload."""


def main() -> int:
    """0 when no property was violated."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1_000_000))
    parser.add_argument("--plain", action="store_true", help="without atheris, also where it is installed")
    given = parser.parse_args()
    kept = ROOT / "var" / "fuzz"
    (kept / "found").mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}", flush=True)
    if not given.plain and importlib.util.find_spec("atheris"):
        return _run_atheris(given.seconds, given.seed, kept)
    if not given.plain:
        print("atheris is not installed and cannot be installed here; the mutations are random")
    from tests.smpp.fuzz_target import probe

    seeds = [file.read_bytes() for file in sorted(CORPUS.iterdir())]
    tried, wrong = mutate_randomly(seeds, probe, seconds=given.seconds, seed=given.seed, kept=kept)
    print(f"{tried:,} inputs;", f"violation: {wrong}" if wrong else "no violation")
    return 1 if wrong else 0


def _run_atheris(seconds: int, seed: int, kept: Path) -> int:
    """Runs libFuzzer, which ends the process itself."""
    atheris: Any = importlib.import_module("atheris")

    with atheris.instrument_imports(include=["gateway.smpp"]):
        from tests.smpp.fuzz_target import probe
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-artifact_prefix={kept}/wrong-",
    ]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(kept / "found"), str(CORPUS)], probe)
    atheris.Fuzz()
    return 0


def mutate_randomly(
    seeds: Sequence[bytes], probe: Callable[[bytes], None], *, seconds: float, seed: int, kept: Path
) -> tuple[int, Path | None]:
    """How many inputs were tried until the time was up or one violated a property, and the file of that one."""
    rng = random.Random(seed)
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        octets = mutated(rng, seeds)
        tried += 1
        try:
            probe(octets)
        except Exception:
            traceback.print_exc()
            wrong = kept / f"wrong-{hashlib.sha256(octets).hexdigest()[:16]}"
            wrong.write_bytes(octets)
            return tried, wrong
    return tried, None


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with a few octets inserted, deleted or overwritten, possibly followed by another seed."""
    octets = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(octets))
        new = rng.choice((rng.randbytes(1), rng.choice(BOUNDARY_VALUES), rng.randbytes(rng.randint(1, 8))))
        match rng.randrange(5):
            case 0:
                octets[at:at] = new
            case 1:
                del octets[at : at + rng.randint(1, 8)]
            case 2 | 3:
                octets[at : at + len(new)] = new
            case 4:
                octets += rng.choice(seeds)
    return bytes(octets[:MAX_INPUT_BYTES])


if __name__ == "__main__":
    sys.exit(main())
