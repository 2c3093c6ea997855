"""The fake SMSC as a program: one JSON object a line of what happens, commands on standard input."""

import argparse
import asyncio
import json
import shlex
import signal
import sys
import time
from typing import Any

from gateway.simulators.receipts import STATES
from gateway.simulators.rules import ANSWERS
from gateway.simulators.smsc import SmscSimulator

EPILOGUE = f"""\
rules: ANSWER [key=value ...], the first that fires acts.
  answers: {", ".join(ANSWERS)}
  when:    to=GLOB text=REGEXP nth=N every=N first=N after=N times=N probability=P seed=N
  how:     status=NUMBER|NAME delay=SECONDS reorder=N split=OCTETS message_id=ID body=no taken=no
  e.g.     --rule 'throttle every=10' --rule 'refuse to=7702* status=RINVDSTADR' --rule 'delay delay=0.5'
receipts: OUTCOME [key=value ...], for segments that ask for one.
  outcomes: none, {", ".join(STATES)}
  how:      to=GLOB delay=SECONDS before_response=yes times=N intermediate=yes
            id_form=same|dec|hex|padded|upper form=both|text|tlvs
  e.g.      --receipts 'undeliverable to=7702*' --receipts 'delivered delay=1 id_form=hex'
standard input, a command a line:
  reply NUMBER TEXT | receipt MESSAGE_ID [OUTCOME] | rule ANSWER ... | rules clear |
  dial NUMBER [CODE] | type NUMBER TEXT | hang-up NUMBER |
  enquire | unbind | drop | silence | speak | refuse-bind STATUS [TIMES] | state | quit
"""


def main() -> None:
    """Runs until SIGINT, SIGTERM or `quit`."""
    parser = argparse.ArgumentParser(
        prog="fake_smsc",
        description="A scriptable SMSC that speaks SMPP 3.4, for developers and acceptance tests.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=2775, help="0 takes a free one (default %(default)s)")
    add("--account", action="append", metavar="ID:PASSWORD", help="who may bind; anybody by default")
    add("--exclusive", action="store_true", help="a second bind of an account gets ESME_RALYBND")
    add("--rule", action="append", default=[], metavar="RULE", help="see below; repeatable")
    add("--receipts", action="append", default=[], metavar="POLICY", help="see below; repeatable")
    add("--tps", type=int, default=0, help="more segments in any second get ESME_RTHROTTLED")
    add("--message-ids", choices=("decimal", "hex", "uuid"), default="decimal")
    add("--short-code", default="1414", help="where replies go (default %(default)s)")
    arguments = parser.parse_args()
    accounts = dict(account.split(":", 1) for account in arguments.account) if arguments.account else None
    try:
        smsc = SmscSimulator(
            arguments.port,
            host=arguments.host,
            accounts=accounts,
            exclusive=arguments.exclusive,
            rules=arguments.rule,
            receipts=arguments.receipts,
            tps=arguments.tps,
            message_ids=arguments.message_ids,
            short_code=arguments.short_code,
        )
    except ValueError as error:
        parser.error(str(error))
    asyncio.run(_serve(smsc))


async def _serve(smsc: SmscSimulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    smsc.on_event = _say
    smsc.on_message = lambda message: _say("message", {"to": message.destination, "text": message.text})
    async with smsc:
        _say("listening", {"host": smsc.host, "port": smsc.port})
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        commands = smsc.start(_commands(smsc, reader, stop))
        await stop.wait()
        commands.cancel()


async def _commands(smsc: SmscSimulator, lines: asyncio.StreamReader, stop: asyncio.Event) -> None:
    while line := (await lines.readline()).decode():
        if words := shlex.split(line):
            smsc.start(_obey(smsc, words, stop))


async def _obey(smsc: SmscSimulator, words: list[str], stop: asyncio.Event) -> None:
    try:
        match words:
            case ["reply", number, *text]:
                await smsc.reply(number, " ".join(text))
            case ["receipt", message_id, *outcome]:
                await smsc.receipt(message_id, *outcome[:1])
            case ["dial", number, *code]:
                await smsc.dial(number, *code[:1])
            case ["type", number, *text]:
                await smsc.dialogues.latest(number).answer(" ".join(text))
            case ["hang-up", number]:
                await smsc.dialogues.latest(number).abort()
            case ["rule", *rule]:
                smsc.add(shlex.join(rule))
            case ["rules", "clear"]:
                smsc.rules.clear()
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
            case ["refuse-bind", status, *times]:
                smsc.refuse_binds(status, times=int(times[0]) if times else 1)
            case ["state"]:
                state = {"throttled": smsc.throttled, "most_under_way": smsc.most_under_way}
                _say("state", {"seen": smsc.seen(), **state})
            case ["quit"]:
                stop.set()
            case _:
                _say("error", {"command": shlex.join(words), "reason": "no such command, see --help"})
    except (ValueError, KeyError, AttributeError, OSError, TimeoutError) as error:
        _say("error", {"command": shlex.join(words), "reason": f"{type(error).__name__}: {error}"})


def _say(event: str, detail: dict[str, Any]) -> None:
    line = {"at": round(time.monotonic(), 6), "event": event, **detail}
    print(json.dumps(line, ensure_ascii=False, default=str), flush=True)
