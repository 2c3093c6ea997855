"""The commands that a running simulator takes, a line each: what `gateway simulate … --help` lists."""

import shlex
import textwrap
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from gateway.simulators.habits import NO_HABITS, Habits
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.partner import PartnerSimulator, fault_settings
from gateway.simulators.receipts import STATES
from gateway.simulators.rules import REACTIONS
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

Simulator = SmscSimulator | McbSimulator | WalletSimulator | SduSimulator


def _wrapped(names: Iterable[str]) -> str:
    return textwrap.fill(", ".join(names), 110, subsequent_indent="  ")


RULES_HELP = f"""\
rules: REACTION [key=value ...], the first that fires acts.
  reactions: {", ".join(REACTIONS)}
  when:      to=GLOB text=REGEXP nth=N every=N first=N after=N times=N probability=P seed=N
  how:       status=NUMBER|NAME delay=SECONDS reorder=N split=OCTETS message_id=ID body=no taken=no
  e.g.       --rule 'throttle every=10' --rule 'refuse to=7702* status=RINVDSTADR' --rule 'delay delay=0.5'
receipts: OUTCOME [key=value ...], for segments that request one.
  outcomes: none, {", ".join(STATES)}
  how:      to=GLOB delay=SECONDS before_response=yes times=N intermediate=yes
            id_form=same|dec|hex|padded|upper form=both|text|tlvs
  e.g.      --receipts 'undeliverable to=7702*' --receipts 'delivered delay=1 id_form=hex'
habits: KEY[=VALUE] ..., what this SMSC does otherwise than others (docs/simulators.md).
  {_wrapped(field.name for field in fields(Habits))}
  e.g.      --habits 'service_time=0.4 hold_until_whole' --habits 'refuse_all=RSUBMITFAIL refuse_seconds=60'
"""
SMSC_HELP = """\
  reply NUMBER TEXT | receipt MESSAGE_ID [OUTCOME] | rule REACTION ... | rules clear |
  dial NUMBER [CODE] | type NUMBER TEXT | hang-up NUMBER |
  habits KEY[=VALUE] ... | habits clear |
  enquire | unbind | drop | silence | speak | down | up | refuse-bind STATUS [TIMES] | state
"""
_PARTNER_HELP = """\
  fail [TIMES] [FAULT ...] | down [FAULT ...] | up | state
    FAULT: status=503 retry_after=SECONDS body=TEXT hang=yes cut=yes after=yes containing=TEXT
"""
MCB_HELP = "  number IIN MSISDN [OPERATOR] | number IIN none\n" + _PARTNER_HELP
WALLET_HELP = "  issued IIN [VOUCHER] | reject IIN [REASON] | event CASE activated|used\n" + _PARTNER_HELP
SDU_HELP = _PARTNER_HELP


async def execute(simulator: Simulator, words: list[str], url: str = "", token: str = "") -> dict[str, Any] | None:
    """Executes one command; what `state` shows, None for the others.

    `url` and `token` are the gateway's for the wallet's events. ValueError on a command that does not exist;
    ValueError, KeyError, AttributeError, OSError or TimeoutError when it cannot be carried out.
    """
    match simulator:
        case SmscSimulator():
            return await _smsc(simulator, words)
        case McbSimulator():
            return _mcb(simulator, words)
        case WalletSimulator():
            return await _wallet(simulator, words, url, token)
        case SduSimulator():
            return _partner(simulator, words)


async def _smsc(smsc: SmscSimulator, words: list[str]) -> dict[str, Any] | None:
    match words:
        case ["reply", number, *text]:
            await smsc.reply(number, " ".join(text))
        case ["receipt", message_id, *outcome]:
            await smsc.receipt(message_id, *outcome[:1])
        case ["dial", number, *code]:
            await smsc.dial(number, *code[:1])
        case ["type", number, *text]:
            await smsc.dialogues.latest(number).reply(" ".join(text))
        case ["hang-up", number]:
            await smsc.dialogues.latest(number).abort()
        case ["rule", *rule]:
            smsc.add(shlex.join(rule))
        case ["rules", "clear"]:
            smsc.rules.clear()
        case ["habits", "clear"]:
            smsc.habits = NO_HABITS
        case ["habits", *changes]:
            smsc.habits = smsc.habits.changed(shlex.join(changes))
        case ["enquire"]:
            await smsc.enquire()
        case ["unbind"]:
            await smsc.unbind()
        case ["drop"]:
            smsc.drop()
        case ["silence"]:
            smsc.silence()
        case ["speak"]:
            smsc.silence(False)
        case ["down"]:
            await smsc.down()
        case ["up"]:
            await smsc.up()
        case ["refuse-bind", status, *times]:
            smsc.refuse_binds(status, times=int(times[0]) if times else 1)
        case ["state"]:
            counts = {"throttled": smsc.throttled, "max_in_flight": smsc.max_in_flight}
            return {"summary": smsc.summary(), **counts}
        case _:
            raise ValueError("no such command, see --help")
    return None


def _mcb(mcb: McbSimulator, words: list[str]) -> dict[str, Any] | None:
    match words:
        case ["number", iin, "none"]:
            mcb.numbers[iin] = None
        case ["number", iin, msisdn]:
            mcb.numbers[iin] = msisdn
        case ["number", iin, msisdn, operator]:
            mcb.numbers[iin] = (msisdn, operator)
        case _:
            return _partner(mcb, words)
    return None


async def _wallet(wallet: WalletSimulator, words: list[str], url: str, token: str) -> dict[str, Any] | None:
    match words:
        case ["issued", iin, *voucher_id]:
            wallet.has_voucher(iin, *voucher_id[:1])
        case ["reject", iin, *reason]:
            wallet.reject(iin, *([" ".join(reason)] if reason else []))
        case ["event", case_id, ("activated" | "used") as type_]:
            if not url:
                raise ValueError("events need --gateway-url")
            status, body = await wallet.post_events(url, token, [wallet.event(case_id, type_)])
            wallet.emit("event_posted", case_id=case_id, type=type_, status=status, response=body)
        case _:
            return _partner(wallet, words)
    return None


def _partner(partner: PartnerSimulator, words: list[str]) -> dict[str, Any] | None:
    match words:
        case ["fail", times, *fault] if times.isdigit():
            partner.fail(int(times), **fault_settings(fault))
        case ["fail", *fault]:
            partner.fail(**fault_settings(fault))
        case ["down", *fault]:
            partner.down(**fault_settings(fault))
        case ["up"]:
            partner.up()
        case ["state"]:
            counts = {"called": partner.called, "failed": partner.failed, "max_in_flight": partner.max_in_flight}
            return {"summary": partner.summary(), **counts}
        case _:
            raise ValueError("no such command, see --help")
    return None
