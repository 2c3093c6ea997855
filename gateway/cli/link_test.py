"""`gateway link-test`: tests a link with one telephone, and prints its lines of config.toml."""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import get_args

from gateway.cli.errors import CommandError
from gateway.cli.terminal import complain, say, show_json, show_table
from gateway.config import Link, load
from gateway.consent.identity import canonical_msisdn
from gateway.consent.reply import ReplyRules, Verdict, read_reply
from gateway.operators import link_advice
from gateway.operators.link_test import (
    Burst,
    LinkTest,
    LinkTestError,
    Outcome,
    Replied,
    Reported,
    Sent,
    form,
    relation,
)
from gateway.smpp import status
from gateway.smpp.pdu import TlvTag
from gateway.smpp.receipt import IdRelation
from gateway.smpp.text import DefaultAlphabet, decode_text
from gateway.smpp.user_data import split_udh

_RULES = ReplyRules(service="3", agree="1", refuse="2", strict=False)
_AUTO: IdRelation = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The results of one test; times are milliseconds. None: it did not come, or was not requested."""

    smsc: str
    bound_in: float
    short: str  # what became of the text: accepted, delivered, …
    long: str
    segments: int  # of the long text
    response_in: float | None  # on average
    response_in_at_most: float | None
    response_id: str | None
    receipts: str  # asked for: last, all, none
    receipt_id: str | None
    receipt_format: str | None
    receipt_in: float | None
    message_id: IdRelation | None  # the relation of the two ids
    stray_receipts: int
    reply_again_in: float | None  # after `defer_status`
    reply_in: float | None
    reply_from: str | None  # type of number and numbering plan of its source
    reply_coding: int | None
    alphabet: DefaultAlphabet | None
    reply_verdict: Verdict | None
    throttled_at: int | None
    burst: int | None
    burst_rate: float | None
    unexpected: list[str]
    advice: list[str]  # what to try for what was refused or did not come

    @property
    def complete(self) -> bool:
        """Whether all expected receipts and the reply came, and could be read."""
        delivered = "delivered" if self.receipts != "none" else "accepted"
        return (
            self.short == self.long == delivered
            and self.reply_verdict in (Verdict.AGREE, Verdict.REFUSE)
            and not self.stray_receipts
        )


def link_test(arguments: Namespace) -> int:
    """Status 0 when both texts arrived, their receipts could be matched and the reply be read."""
    config = load(arguments.config, secrets=False)
    link = next((link for link in config.links if link.name == arguments.link), None)
    if link is None:
        names = ", ".join(link.name for link in config.links)
        raise CommandError(f"there is no link {arguments.link}; there are {names}")
    if not link.password:
        raise CommandError(f"links.{link.name}.password is missing: set what config.toml refers to")
    msisdn = canonical_msisdn(arguments.to)
    if msisdn is None:
        raise CommandError(f"--to: {arguments.to} is no Kazakh mobile number")
    try:
        outcome = asyncio.run(_try(link, msisdn, arguments))
    except LinkTestError as error:
        raise CommandError(str(error)) from None
    learned = learn(link, outcome)
    settings = settings_of(link, learned)
    if arguments.json:
        show_json({**asdict(learned), "complete": learned.complete, "config": settings})
    else:
        _show(link, learned, settings)
    return 0 if learned.complete else 1


async def _try(link: Link, msisdn: str, given: Namespace) -> Outcome:
    return await LinkTest(link, msisdn, complain, defer=given.defer_reply).run(given.wait, given.find_throttle)


def learn(link: Link, outcome: Outcome) -> Learned:
    """The results of a test."""
    texts = [*outcome.of("short"), *outcome.of("long")]
    response_times = [1000 * (s.responded_at - s.sent_at) for s in texts if s.responded_at and not s.is_unknown]
    ids = [s.message_id for s in texts if s.accepted]
    reported = [(s, r) for s in texts for r in s.receipts]
    first = next(((s, r) for s, r in reported if r.receipt.final), None)
    reply, burst = outcome.reply, outcome.burst
    source = reply.message.source if reply is not None else None
    alphabet = alphabet_of(link, reply) if reply is not None else None
    return Learned(
        smsc=outcome.smsc,
        bound_in=1000 * outcome.bound_in,
        short=_became(outcome.of("short")),
        long=_became(outcome.of("long")),
        segments=len(outcome.of("long")),
        response_in=mean(response_times) if response_times else None,
        response_in_at_most=max(response_times, default=None),
        response_id=_common([form(i) for i in ids]),
        receipts=link.receipts,
        receipt_id=_common([form(r.receipt.message_id) for _, r in reported]),
        receipt_format=_common([_format(r) for _, r in reported]),
        receipt_in=1000 * (first[1].at - first[0].sent_at) if first else None,
        message_id=_relation([(s.message_id, r.receipt.message_id) for s, r in reported]),
        stray_receipts=len(outcome.stray),
        reply_again_in=1000 * (reply.at - outcome.deferred.at) if reply and outcome.deferred else None,
        reply_in=1000 * (reply.at - texts[-1].sent_at) if reply is not None else None,
        reply_from=f"TON {source.ton}, NPI {source.npi}" if source is not None else None,
        reply_coding=reply.message.data_coding if reply is not None else None,
        alphabet=alphabet,
        reply_verdict=_verdict(reply, alphabet or link.default_alphabet) if reply is not None else None,
        throttled_at=burst.throttled_at if burst is not None else None,
        burst=burst.sent if burst is not None else None,
        burst_rate=_rate(burst) if burst is not None else None,
        unexpected=outcome.unexpected,
        advice=_advice(link, outcome),
    )


def _advice(link: Link, outcome: Outcome) -> list[str]:
    """What to try: for the statuses of refused segments, and for texts whose receipts did not come."""
    refused = [s.command_status for s in outcome.sent if s.text != "burst" and s.command_status]
    advice = link_advice.on_submit_refusals(refused)
    tracked = {s.text for s in outcome.sent if s.tracked and s.accepted}
    reported = {s.text for s in outcome.sent if s.receipts}
    missing = [text for text in ("short", "long") if text in tracked - reported]
    if missing and not outcome.stray:  # a receipt with another id is a matter of message_id
        advice.append(link_advice.on_missing_receipts(link.receipts, missing))
    for segment in outcome.sent:
        advice += link_advice.on_states([reported.receipt for reported in segment.receipts])
    if outcome.reply is None and outcome.deferred is not None:
        advice.append(link_advice.on_lost_reply(link.defer_status))
    if outcome.reply is not None:
        destination = outcome.reply.message.destination.addr
        if (try_ := link_advice.on_reply_to(destination, link.accepted_destinations)) is not None:
            advice.append(try_)
    return advice


def settings_of(link: Link, learned: Learned) -> dict[str, object]:
    """The keys of `[[links]]` that follow from the test, with their values."""
    return {
        "message_id": learned.message_id or link.message_id,
        "default_alphabet": learned.alphabet or link.default_alphabet,
        "long_messages": link.long_messages,
        "receipts": link.receipts,
        "tps": learned.throttled_at or link.tps,
    }


def alphabet_of(link: Link, reply: Replied) -> DefaultAlphabet | None:
    """The default_alphabet in which the reply can be read: the configured one, if several fit.

    None when the data_coding of the reply states its alphabet, or no alphabet fits.
    """
    if reply.message.data_coding != 0:
        return None
    readable = [a for a in get_args(DefaultAlphabet) if _verdict(reply, a) in (Verdict.AGREE, Verdict.REFUSE)]
    return link.default_alphabet if link.default_alphabet in readable else next(iter(readable), None)


def _verdict(reply: Replied, alphabet: DefaultAlphabet) -> Verdict:
    octets = split_udh(reply.message).octets
    return read_reply(decode_text(octets, reply.message.data_coding, alphabet), _RULES).verdict


def _became(text: Sequence[Sent]) -> str:
    """What became of a text as a whole."""
    if any(s.is_unknown for s in text):
        return "no response"
    if refused := next((s for s in text if not s.accepted), None):
        return status.name(refused.command_status or 0)
    states = [r.receipt.state for s in text for r in s.receipts if r.receipt.final]
    failed = next((state for state in states if not state.delivered), None)
    if failed is not None:
        return failed.value
    return "delivered" if states and all(s.final for s in text) else "accepted"


def _format(reported: Reported) -> str:
    tlvs = reported.message.tlvs.keys() & {TlvTag.RECEIPTED_MESSAGE_ID, TlvTag.MESSAGE_STATE}
    form = {(True, True): "text and TLVs", (True, False): "text", (False, True): "TLVs", (False, False): "bare"}
    return f"{form[bool(reported.message.payload), bool(tlvs)]}, esm_class 0x{reported.message.esm_class:02X}"


def _relation(pairs: Sequence[tuple[str, str]]) -> IdRelation | None:
    """The one relation of all pairs; auto where they differ, None without any."""
    found = {relation(response_id, receipt_id) for response_id, receipt_id in pairs}
    if not found:
        return None
    (only, *others) = found
    return only if not others else _AUTO


def _common(forms: Sequence[str]) -> str | None:
    return " or ".join(sorted(set(forms))) if forms else None


def _rate(burst: Burst) -> float | None:
    return burst.sent / burst.seconds if burst.seconds else None


def _show(link: Link, learned: Learned, settings: dict[str, object]) -> None:
    rows = [
        ("bound to", f"{learned.smsc or 'unnamed'}, in {_ms(learned.bound_in)}"),
        ("short text", learned.short),
        ("long text", f"{learned.long}, {learned.segments} segments as {link.long_messages}"),
        ("responses", f"{_ms(learned.response_in)} on average, {_ms(learned.response_in_at_most)} at most"),
        ("id of the response", learned.response_id or "none"),
        ("id of the receipt", _receipt_id(learned)),
        ("receipts", "not asked for" if learned.receipts == "none" else learned.receipt_format or "none came"),
        ("the first final one", _ms(learned.receipt_in)),
        ("reply", _reply(learned)),
    ]
    if learned.reply_again_in is not None:
        rows.append((f"delivered again after {status.name(link.defer_status)}", _ms(learned.reply_again_in)))
    if learned.stray_receipts:
        rows.append(("receipts for no id of ours", str(learned.stray_receipts)))
    if learned.burst is not None:
        rate = f" ({learned.burst_rate:,.0f} a second)" if learned.burst_rate else ""
        limit = f"at {learned.throttled_at} segments a second" if learned.throttled_at is not None else "never"
        rows.append(("throttles", f"{limit}; {learned.burst} were sent{rate}"))
    rows += [("unexpected", what) for what in learned.unexpected]
    rows += [("to try", what) for what in learned.advice]
    show_table(f"Link {link.name}", ("what", "learned"), rows, empty="")
    say("for config.toml:")
    say(f'[[links]]\nname = "{link.name}"')
    for key, value in settings.items():
        say(f"{key} = {value:g}" if isinstance(value, int | float) else f'{key} = "{value}"')


def _receipt_id(learned: Learned) -> str:
    if learned.receipt_id is None:
        return "none"
    return f"{learned.receipt_id}, related to it as {learned.message_id}"


def _reply(learned: Learned) -> str:
    if learned.reply_verdict is None:
        return "none came"
    coding = f"data_coding {learned.reply_coding}"
    alphabet = f", {learned.alphabet}" if learned.alphabet is not None else ""
    return f"{learned.reply_verdict}, {coding}{alphabet}, {learned.reply_from}, after {_ms(learned.reply_in)}"


def _ms(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:,.0f} ms"
