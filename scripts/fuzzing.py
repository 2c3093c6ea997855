"""scripts/fuzz: octets like those of tests/smpp/corpus, changed at random, into all that reads an SMSC's octets.

With atheris (https://github.com/google/atheris) it follows what each change makes the gateway do, keeps what
leads to something new in var/fuzz/found, and goes on from there next time; without, it changes octets blindly.
What breaks a rule of tests/smpp/fuzz_target.py is written to var/fuzz/wrong-…, and the exit status is not 0.
"""

import argparse
import hashlib
import importlib.util
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "smpp" / "corpus"
LONGEST = 4096
"""Octets of an input."""
TELLING = (
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
"""Values at which readers err: borders of command_length, an escape, the tag of message_payload."""


def main() -> int:
    """0 when nothing wrong was found in that time."""
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
        return _follow(given.seconds, given.seed, kept)
    if not given.plain:
        print("atheris is not installed and does not install here; octets are changed blindly")
    from smpp.fuzz_target import probe

    seeds = [file.read_bytes() for file in sorted(CORPUS.iterdir())]
    tried, wrong = change_blindly(seeds, probe, seconds=given.seconds, seed=given.seed, kept=kept)
    print(f"{tried:,} inputs;", f"wrong: {wrong}" if wrong else "nothing wrong")
    return 1 if wrong else 0


def _follow(seconds: int, seed: int, kept: Path) -> int:
    """Hands over to libFuzzer, which ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["gateway.smpp"]):
        from smpp.fuzz_target import probe
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={kept}/wrong-",
    ]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(kept / "found"), str(CORPUS)], probe)
    atheris.Fuzz()
    return 0


def change_blindly(
    seeds: Sequence[bytes], probe: Callable[[bytes], None], *, seconds: float, seed: int, kept: Path
) -> tuple[int, Path | None]:
    """How many inputs were tried until time was up or one was wrong, and where that one is kept."""
    dice = random.Random(seed)
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        octets = changed(dice, seeds)
        tried += 1
        try:
            probe(octets)
        except Exception:
            traceback.print_exc()
            wrong = kept / f"wrong-{hashlib.sha256(octets).hexdigest()[:16]}"
            wrong.write_bytes(octets)
            return tried, wrong
    return tried, None


def changed(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with a few octets put in, taken out or written over, perhaps with another one behind it."""
    octets = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(octets))
        new = dice.choice((dice.randbytes(1), dice.choice(TELLING), dice.randbytes(dice.randint(1, 8))))
        match dice.randrange(5):
            case 0:
                octets[at:at] = new
            case 1:
                del octets[at : at + dice.randint(1, 8)]
            case 2 | 3:
                octets[at : at + len(new)] = new
            case 4:
                octets += dice.choice(seeds)
    return bytes(octets[:LONGEST])


if __name__ == "__main__":
    sys.exit(main())
