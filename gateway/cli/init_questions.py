"""What `gateway init` asks; the answers are a person's, a file's with the keys of config.toml, or the defaults."""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gateway.cli.errors import CommandError

TOKENS = "tokens"
LINKS = "links"
"""The key of the links' answers: a list of tables."""
YES, NO = "yes", "no"


class Question(NamedTuple):
    """One value of the file: its key, what a person is asked, and what is wrong with an answer (None: nothing)."""

    key: str
    text: str
    default: str
    fault: Callable[[str], str | None]
    secret: bool = False  # typed without being shown, and kept in a file of its own


def _any(answer: str) -> str | None:
    return None if answer.strip() and answer.isprintable() else "something is needed here"


def _whole(least: int, most: int) -> Callable[[str], str | None]:
    def fault(answer: str) -> str | None:
        good = re.fullmatch(r"[0-9]{1,9}", answer) and least <= int(answer) <= most
        return None if good else f"a whole number from {least} to {most} is needed"

    return fault


def _matching(pattern: str, needed: str) -> Callable[[str], str | None]:
    return lambda answer: None if re.fullmatch(pattern, answer) else f"{needed} is needed"


def _url(answer: str) -> str | None:
    try:
        parts = urlsplit(answer)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    return (
        None if usable and answer.isprintable() and " " not in answer else "http://HOST or https://HOST is needed"
    )


def _url_or_none(answer: str) -> str | None:
    return _url(answer) if answer else None


def _database(answer: str) -> str | None:
    good = answer == "embedded" or re.fullmatch(r"postgres(ql)?://\S+", answer)
    return None if good else "embedded, or postgresql://user:password@host/name, is needed"


_LINK = "https://egovmobile.page.link/socwallet"
_REFERENCE_TEXT = "env:NAME, file:PATH, or itself: it is then put into a file"

GENERAL = (
    Question("gateway.database", "Database: embedded, or postgresql://…", "embedded", _database, secret=True),
    Question("http.host", "Address on which HTTP is served", "127.0.0.1", _any),
    Question("http.port", "Port", "8080", _whole(1, 65535)),
    Question(
        TOKENS, "Make tokens for SDU, the wallet and ops, into files (yes, no: they come from the environment)",
        YES, _matching("yes|no", "yes or no"),
    ),
    Question("services.3.link", "Link in the text after consent, where a parent gets the voucher", _LINK, _any),
    Question("mcb.url", "MCB: address", "http://127.0.0.1:9101", _url),
    Question("mcb.token", f"MCB: token ({_REFERENCE_TEXT})", "env:GATEWAY_MCB_TOKEN", _any, secret=True),
    Question("wallet.url", "Wallet: address", "http://127.0.0.1:9102", _url),
    Question(
        "wallet.token", f"Wallet: token ({_REFERENCE_TEXT})", "env:GATEWAY_WALLET_OUT_TOKEN", _any, secret=True
    ),
    Question("sdu.url", "SDU: address to which statuses are pushed; empty: SDU pulls", "", _url_or_none),
)  # fmt: skip
PUSHED = (
    Question("sdu.token", f"SDU: token ({_REFERENCE_TEXT})", "env:GATEWAY_SDU_OUT_TOKEN", _any, secret=True),
    Question(
        "sdu.signing_secret", f"SDU: secret of the signatures, whsec_…, or make ({_REFERENCE_TEXT})",
        "env:GATEWAY_SDU_SIGNING_SECRET", _any, secret=True,
    ),
)  # fmt: skip
"""The questions that are asked where SDU has an address."""


def of_link(name: str, number: int) -> tuple[Question, ...]:
    """The questions about a link, once its name is known; the first one has the defaults of config.toml."""
    variable = f"{re.sub('[^A-Za-z0-9]', '_', name).upper()}_PASSWORD"
    prefixes = "701,702,775,778" if number == 0 else ""
    return (
        Question("host", f"{name}: host of the SMSC", "127.0.0.1", _matching(r"[!-~]+", "a host name")),
        Question("port", f"{name}: port", "2775", _whole(1, 65535)),
        Question("system_id", f"{name}: system_id", "gateway", _matching(r"[ -~]{1,15}", "1 to 15 characters")),
        Question("password", f"{name}: password ({_REFERENCE_TEXT})", f"env:{variable}", _any, secret=True),
        Question("source", f"{name}: number that parents reply to", "1414", _any),
        Question(
            "prefixes", f"{name}: prefixes of its numbers, with commas; empty: as the MCB says", prefixes,
            _matching(r"(7[0-9]{2}(, ?7[0-9]{2})*)?", "three digits each, such as 701,702,"),
        ),
        Question("tps", f"{name}: segments a second", "100", _matching(r"[0-9]{1,6}(\.[0-9]+)?", "a number")),
    )  # fmt: skip


LINK_NAME = Question(
    "name", "Name of the link (the operator)", "kcell", _matching(r"[A-Za-z0-9][\w.-]{0,63}", "a name")
)

Ask = Callable[[Question], str]
"""The answer to a question, without faults."""


def gather(ask: Ask, another_link: Callable[[int], bool]) -> dict[str, Any]:
    """All answers by key, and under LINKS one table a link. `another_link` is asked after so many links."""
    answers: dict[str, Any] = {question.key: ask(question) for question in GENERAL}
    if answers["sdu.url"]:
        answers |= {question.key: ask(question) for question in PUSHED}
    links: list[dict[str, str]] = []
    while True:
        name = ask(LINK_NAME)
        if any(link["name"] == name for link in links):
            raise CommandError(f"there are two links {name}: each has a name of its own")
        links.append({"name": name, **{one.key: ask(one) for one in of_link(name, len(links))}})
        if not another_link(len(links)):
            return answers | {LINKS: links}


class FileOfAnswers:
    """Answers from a TOML file with the keys of config.toml; what it leaves out has its default."""

    def __init__(self, path: Path | None) -> None:
        values = _read(path) if path is not None else {}
        self._links: list[Mapping[str, Any]] = values.pop(LINKS, [{}])
        self._values = _flat(values)
        self._of_links = [_flat(link) for link in self._links]
        self._link = -1

    def ask(self, question: Question) -> str:
        """The answer; raises CommandError where it does not fit."""
        if question is LINK_NAME:
            self._link += 1
        values = self._of_links[self._link] if "." not in question.key and question.key != TOKENS else self._values
        answer = values.pop(question.key, question.default)
        if (fault := question.fault(answer)) is not None:
            raise CommandError(f"{question.key}: {fault}, not {'this one' if question.secret else repr(answer)}")
        return answer

    def another_link(self, links: int) -> bool:
        return links < len(self._of_links)

    def check_all_used(self) -> None:
        """Raises CommandError for keys that nobody asked for."""
        rest = [*self._values, *(f"links.{key}" for link in self._of_links for key in link)]
        if rest:
            raise CommandError(f"--answers: {', '.join(rest)}: nobody asks for that; change it in the file later")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not TOML: {error}") from None
    links = values.get(LINKS, [{}])
    if not (isinstance(links, list) and links and all(isinstance(link, dict) for link in links)):
        raise CommandError(f"{path}: write each link as a table [[links]]")
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`mcb.url` and the like, as a person would type them."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[prefix + key] = ",".join(map(str, value))
        else:
            flat[prefix + key] = {True: YES, False: NO}[value] if isinstance(value, bool) else str(value)
    return flat
