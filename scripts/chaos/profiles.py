"""SMSCs that do what the field does, for the whole of a run: late, stalled, forgetful, stingy, chatty."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.simulators.habits import Habits
from gateway.simulators.smsc import SmscSimulator

RESPONSE_TIMEOUT_SECONDS = 2.0
"""The response_timeout of the links in a run that kills or has such an SMSC."""
WAITS_SCALE = RESPONSE_TIMEOUT_SECONDS / 30.0
"""The factor of the links' other waits in a run with such an SMSC: the default of `response_timeout` is 30 s."""
WINDOW = 50
"""The window of the links."""
WINDOW_OF_SLOW_LINKS = 600
"""The window where every response takes LATE_SECONDS: at most 200 segments a second."""
LATE_SECONDS = RESPONSE_TIMEOUT_SECONDS + 1.0
STALL_SECONDS = 3 * RESPONSE_TIMEOUT_SECONDS
REFUSED_SECONDS = 20.0


class Phase(NamedTuple):
    """What the SMSCs do for so many seconds; the last phase of a profile stays."""

    habits: str = ""
    rules: tuple[str, ...] = ()
    seconds: float = 0.0


PROFILES: Mapping[str, tuple[Phase, ...]] = {
    "slow": (Phase(rules=(f"delay delay={LATE_SECONDS}",)),),
    "stalled": (Phase(f"stall_every=500 stall_seconds={STALL_SECONDS}"),),
    "forgetful": (Phase("unbound_after=100"),),
    "stingy": (
        Phase("refuse_all=RSUBMITFAIL", seconds=REFUSED_SECONDS),
        Phase("refuse_all=RMSGQFUL", seconds=REFUSED_SECONDS),
        Phase("refuse_all=0x401", seconds=REFUSED_SECONDS),
        Phase(),
    ),
    "chatty": (
        Phase("echo_every=5 'mo_after_bind=77010000000 good morning'", ("foreign every=7", "stray every=5")),
    ),
}
"""The profiles by the value of `--smsc`: responses a second after `response_timeout`; none for a while, then all
at once; binds that no longer count; account-level refusals and full queues; unexpected PDUs, responses and MOs.
"""


async def run_phases(smscs: Iterable[SmscSimulator], phases: Iterable[Phase]) -> None:
    """Has the SMSCs take on one phase after the other, until the last one begins."""
    for phase in phases:
        for smsc in smscs:
            smsc.habits = Habits.parse(phase.habits)
            for rule in phase.rules:
                smsc.add(rule)
        await asyncio.sleep(phase.seconds)
