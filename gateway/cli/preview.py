"""`gateway preview`: the texts as they are sent, and the segments and hours of a list."""

import gzip
import math
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.panel import Panel
from rich.text import Text as Shown

from gateway.cli.errors import CommandError
from gateway.cli.terminal import console, say, show_json, show_table
from gateway.config import Config, Link, Service, load
from gateway.config.templates import load_templates
from gateway.consent.texts import LANGUAGES, Kind, Name, Templates
from gateway.intake.records import Record, read_record
from gateway.smpp.text import DataCoding, alphabet, segment_count

TYPICAL_RECIPIENT = Name("Ахметова", "Айгүл", "Серікқызы")
TYPICAL_PUPIL = Name("Ахметов", "Нұрлан", "Ерланұлы")
_KINDS = (Kind.REQUEST, Kind.REFUSED, Kind.AGREED, Kind.CLARIFY)  # a repeat is the request once more
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Segments of a whole list by the replies of the families, and how long its requests take."""

    families: int
    rejected_lines: int
    requests: int  # segments, as all below
    repeats: int  # if nobody replies to the request
    consents: int  # if everybody agrees
    tps: float | None  # of all links together; None: some link is not paced
    hours: float | None  # of sending, for the requests
    days: int | None  # in the send window


def preview(arguments: Namespace) -> int:
    """Shows every text of the service with typical names, and the cost of a list."""
    config = load(arguments.config, secrets=False)
    service = service_of(config, arguments.service)
    templates = load_templates(service.templates)
    texts = [_text(config, service, templates, kind, language) for kind in _KINDS for language in LANGUAGES]
    cost = _cost(config, service, templates, arguments.file, arguments.families)
    if arguments.json:
        show_json({"service": service.code, "texts": texts, "cost": asdict(cost)})
        return 0
    for text in texts:
        title = (
            f"{text['text']} ({text['language']}), {text['version']}: {text['length']} {text['units']}, "
            f"{text['encoding']}, {_segments(text['segments'])}"
        )
        console().print(Panel(Shown(text["body"]), title=title, title_align="left"))
    _show_cost(config, cost)
    return 0


def service_of(config: Config, code: str | None) -> Service:
    """The service with that code, or the only one; raises CommandError."""
    if code is None and len(config.services) > 1:
        raise CommandError(f"name one of the services by --service: {', '.join(config.services)}")
    code = code or next(iter(config.services))
    if code not in config.services:
        raise CommandError(f"there is no service {code}; there are {', '.join(config.services)}")
    return config.services[code]


def _render(
    service: Service, templates: Templates, kind: Kind, language: str, recipient: Name, pupil: Name
) -> tuple[str, str]:
    text = templates.render(
        kind, language, recipient=recipient, pupil=pupil, link=service.link,
        service=service.code, agree=service.agree, refuse=service.refuse,
    )  # fmt: skip
    return text.body, text.template


def _text(config: Config, service: Service, templates: Templates, kind: Kind, language: str) -> dict[str, Any]:
    body, version = _render(service, templates, kind, language, TYPICAL_RECIPIENT, TYPICAL_PUPIL)
    ucs2 = alphabet(body) is DataCoding.UCS2
    return {
        "text": kind.value,
        "language": language,
        "version": version,
        "body": body,
        "encoding": "UCS-2" if ucs2 else "GSM 03.38",
        "length": len(body.encode("utf-16-be")) // 2 if ucs2 else len(body),
        "units": "units" if ucs2 else "characters",
        "segments": {link.name: _count(body, link) for link in config.links},
    }


def _count(body: str, link: Link) -> int:
    return segment_count(body, link.long_messages)


def _cost(config: Config, service: Service, templates: Templates, file: str | None, families: int) -> Cost:
    """The cost of the list over the link with the most segments for a text."""
    longest = {link.long_messages: link for link in config.links}.values()

    def segments(kind: Kind, language: str, recipient: Name, pupil: Name) -> int:
        body, _ = _render(service, templates, kind, language, recipient, pupil)
        return max(_count(body, link) for link in longest)

    agreed = {
        language: segments(Kind.AGREED, language, TYPICAL_RECIPIENT, TYPICAL_PUPIL) for language in LANGUAGES
    }
    requests = consents = asked = rejected = 0
    if file is None:
        asked = families
        requests = families * segments(Kind.REQUEST, LANGUAGES[0], TYPICAL_RECIPIENT, TYPICAL_PUPIL)
        consents = families * agreed[LANGUAGES[0]]
    else:
        for record in _records(Path(file)):
            if record is None:
                rejected += 1
                continue
            people = orjson.loads(record.content)
            recipient, pupil = _name(people["recipients"][0]), _name(people["pupil"])
            asked += 1
            requests += segments(Kind.REQUEST, record.language, recipient, pupil)
            consents += agreed[record.language]
    tps = None if any(link.tps == 0 for link in config.links) else sum(link.tps for link in config.links)
    hours = None if tps is None else requests / tps / 3600
    window = config.journey.send_window
    open_hours = (window.closes - window.opens).total_seconds() / 3600
    return Cost(
        families=asked,
        rejected_lines=rejected,
        requests=requests,
        repeats=requests * config.journey.repeats,
        consents=consents,
        tps=tps,
        hours=None if hours is None else round(hours, 2),
        days=None if hours is None else math.ceil(hours / open_hours),
    )


def _records(path: Path) -> Iterator[Record | None]:
    """The list's records; None for a line that the gateway would reject."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if zipped else path.open("rb") as lines:
            for line in lines:
                record = read_record(line.rstrip(b"\r\n"))
                yield record if isinstance(record, Record) else None
    except (OSError, EOFError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None


def _name(person: dict[str, Any]) -> Name:
    return Name(person["surname"], person["given_name"], person.get("patronymic"))


def _segments(by_link: dict[str, int]) -> str:
    counts = set(by_link.values())
    if len(counts) == 1:
        (count,) = counts
        return f"{count} segment{'' if count == 1 else 's'}"
    return "segments: " + ", ".join(f"{count} on {link}" for link, count in by_link.items())


def _show_cost(config: Config, cost: Cost) -> None:
    if cost.rejected_lines:
        say(f"{cost.rejected_lines:,} lines would be rejected; `gateway push` shows why.")
    rows = [
        ("the request, to everybody", cost.requests),
        (f"{config.journey.repeats} more, if nobody replies", cost.repeats),
        ("the text after consent, if everybody agrees", cost.consents),
    ]
    show_table(f"Segments of a list of {cost.families:,} families", ("for", "segments"), rows, empty="")
    if cost.tps is None:
        say("How long the requests take is not known: a link is not paced (tps = 0).")
    else:
        days = f"{cost.days} day{'' if cost.days == 1 else 's'}"
        say(
            f"The requests take {cost.hours:,} hours at {cost.tps:g} segments a second over all links: "
            f"{days} of the send window."
        )
