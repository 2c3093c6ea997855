"""The commands of the command line, their arguments, and the function of each."""

import argparse
import re

from gateway.cli import (
    ask,
    backup_check,
    completion,
    demo,
    evidence,
    find,
    init,
    link_test,
    local,
    numbers,
    preview,
    push,
    rehearse,
    rewind,
    serving,
    simulate,
    tail,
)
from gateway.cli.commands import add_command, program
from gateway.evidence.digests import Anchor


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser, commands = program()
    _add_local(commands)
    _add_proofs(commands)
    _add_previews(commands)
    _add_remote(commands)

    tail.add_options(add_command(commands, "tail", tail.tail, "format log lines from standard input for reading"))
    _add_simulated(commands)
    completion.add_options(
        add_command(commands, "completion", completion.run, "print a script that completes commands and options"),
        parser,
    )
    return parser


def _add_simulated(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "run a simulator of the SMSC, the MCB, the wallet or SDU, or all four"
    command = commands.add_parser("simulate", help=summary, description=summary[0].upper() + summary[1:] + ".")
    simulate.add_simulators(command)
    demo.add_options(
        add_command(
            commands, "demo", demo.run, "run the main job end to end: the real gateway between simulated partners"
        )
    )
    rehearse.add_options(
        add_command(
            commands, "rehearse", rehearse.run, "run a list against simulators; nothing leaves the machine",
            config=True, json=True,
        )
    )  # fmt: skip


def _anchor(text: str) -> Anchor:
    seq, _, root = text.partition(":")
    if not re.fullmatch(r"[0-9]{1,18}", seq) or not re.fullmatch(r"[0-9a-f]{64}", root):
        raise argparse.ArgumentTypeError("SEQ:ROOT is expected, as in a journal_anchor line of the log")
    return Anchor(int(seq), bytes.fromhex(root))


def _add_local(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    init.add_options(
        add_command(
            commands, "init", init.run, "write a config.toml by asking, and check it", config=True, json=True
        )
    )
    serving.add_serve(commands)
    add_command(commands, "migrate", local.migrate, "apply the pending migrations", config=True, json=True)
    add_command(
        commands, "check-config", local.check_config, "check the file, name every fault by its key",
        config=True, json=True,
    )  # fmt: skip


def _add_proofs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = add_command(
        commands, "verify-journal", local.verify_journal,
        "walk the hash chain, name the first entry that fails; compare the rows of every case with it",
        config=True, json=True,
    )  # fmt: skip
    command.add_argument(
        "--anchor", metavar="SEQ:ROOT", type=_anchor, action="append", default=[],
        help="of a kept journal_anchor line: prove that the journal of that time is unchanged; repeatable",
    )  # fmt: skip
    command = add_command(
        commands, "backup-check", backup_check.backup_check,
        "walk a restored copy of the database, read-only, before it goes into service", config=True, json=True,
    )  # fmt: skip
    command.add_argument("database", metavar="URL", help="of the copy: postgresql://…")
    command = add_command(
        commands, "evidence", evidence.show, "print a case's record of consent, as JSON",
        config=True, json=True,
    )  # fmt: skip
    command.add_argument("case_id", metavar="CASE")
    command.add_argument(
        "--at",
        metavar="SEQ",
        type=numbers.whole(1),
        help="prove it against the anchor of this SEQ (the journal's last entry)",
    )
    command = add_command(
        commands, "verify-evidence", evidence.verify, "check a record of consent, without the database", json=True
    )
    command.add_argument("file", metavar="FILE", help="as `gateway evidence` printed it; -: standard input")
    command.add_argument(
        "--anchor",
        metavar="SEQ:ROOT",
        type=_anchor,
        help="of a kept journal_anchor line: prove that the entries were in the journal then",
    )


def _add_previews(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = add_command(
        commands, "preview", preview.preview, "show the texts as they are sent, and the segments of a list",
        config=True, json=True,
    )  # fmt: skip
    command.add_argument(
        "file", nargs="?", metavar="FILE", help="a list (NDJSON, also gzip) whose segments are counted"
    )
    command.add_argument(
        "--families", type=numbers.whole(1), default=1000, help="how many, without FILE (%(default)s)"
    )
    command.add_argument("--service", metavar="CODE", help="default: the only one configured")
    command = add_command(
        commands, "link-test", link_test.link_test, "test a link with one telephone, and print its configuration",
        config=True, json=True,
    )  # fmt: skip
    command.add_argument("link", metavar="NAME", help="of the link, as in the file")
    command.add_argument("--to", metavar="NUMBER", required=True, help="the telephone that is to reply")
    command.add_argument(
        "--wait",
        metavar="SECONDS",
        type=numbers.seconds(0.1),
        default=120.0,
        help="for receipts and the reply (120)",
    )
    command.add_argument(
        "--defer-reply", action="store_true",
        help="refuse the reply once with defer_status, and see whether the SMSC delivers it again",
    )  # fmt: skip
    command.add_argument(
        "--find-throttle", metavar="SEGMENTS", type=numbers.whole(1), nargs="?", const=500, default=0,
        help="send short texts until the SMSC throttles, at most so many (500)",
    )  # fmt: skip


def _add_remote(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = add_command(
        commands, "push", push.push, "push a list; status 0 when no record was rejected",
        config=True, json=True, url=True,
    )  # fmt: skip
    command.add_argument("file", metavar="FILE", help="the list: NDJSON, also gzip")
    command.add_argument("--list-id", metavar="ID", help="default: the file's name")
    command.add_argument("--service", metavar="CODE", help="default: the only one configured")
    for name, run, summary, argument in (
        ("lists", ask.lists, "the latest lists", None),
        ("status", ask.status, "a list's counts, its cases by state, and what is parked and why", "LIST"),
        ("case", ask.case, "a case and its journal", "CASE"),
        ("links", ask.links, "who holds each link, why it is not bound, and the texts that wait for it", None),
        ("bind-now", ask.bind_now, "have a link try to bind at once, not after its pause", "LINK"),
        ("cancel", ask.cancel, "end a case", "CASE"),
        ("resend", ask.resend, "send a case's current text again", "CASE"),
        ("accept-reply", ask.accept_reply, "count a case's held reply", "CASE"),
    ):
        command = add_command(commands, name, run, summary, config=True, json=True, url=True)
        if argument:
            command.add_argument(f"{argument.lower()}_id", metavar=argument)
        if name == "cancel":
            command.add_argument("--reason", default="cancelled by ops", help="is written into the journal")
            _add_yes(command)
    command = add_command(
        commands, "accept-rewind", rewind.accept_rewind,
        "go on with a database that lacks what was there, and show who may know it",
        config=True, json=True, url=True,
    )  # fmt: skip
    command.add_argument("--dry-run", action="store_true", help="only show it")
    _add_many(commands)
    command = add_command(
        commands, "find", find.find, "the cases of a person or a number, which is read from standard input",
        config=True, json=True, url=True,
    )  # fmt: skip
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--iin", action="store_true", help="search by the IIN of anybody in the record")
    which.add_argument("--msisdn", action="store_true", help="search by the number that is or was asked")
    command.add_argument("--service", metavar="CODE", help="default: all")


def _add_yes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation on a terminal")


def _add_many(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = add_command(
        commands, "release", ask.release, "let a parked case continue, or many", config=True, json=True, url=True
    )
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("case_id", nargs="?", metavar="CASE")
    which.add_argument("--list", metavar="LIST", help="all that are parked of this list")
    which.add_argument("--all", action="store_true", help="all that are parked")
    _add_yes(command)
    command = add_command(
        commands, "cases", ask.cases, "cases by list and state", config=True, json=True, url=True
    )
    command.add_argument("list_id", nargs="?", metavar="LIST", help="may be left out with --state parked or held")
    command.add_argument(
        "--state", help="looking_up, queued, asked, … parked: as `gateway status` names them; or held"
    )
    command.add_argument("--limit", metavar="N", type=numbers.whole(1), default=100, help="how many at most (100)")
    command.add_argument("--after", metavar="CASE", help="begin after this case: `next` of the previous page")
