"""Cases in every state, and the inputs that lead to these states."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.config.timezones import load_timezone
from gateway.consent.case import Case, Rules, State
from gateway.consent.deadlines import Calendar, parse_send_window
from gateway.consent.details import TextAccepted, TextRefused, TextUndeliverable, TextWithoutResponse
from gateway.consent.inputs import (
    AcceptReply,
    Cancel,
    ConfirmAccepted,
    Decision,
    HoldReply,
    Input,
    IssueVoucher,
    MeetDeadline,
    OpenQuestion,
    ParentReply,
    Park,
    RejectVoucher,
    ReportDelivered,
    ReportRefused,
    ReportUndeliverable,
    SkipRecipient,
    UseNumber,
)
from gateway.consent.journey import decide
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind

ACCEPTED = TextAccepted(sms_id=1, text="request", link="kcell", message_ids=("1",), attempts=1)
REFUSED = TextRefused(sms_id=1, text="request", link="kcell", command_status=11, name="ESME_RINVDSTADR")
WITHOUT_RESPONSE = TextWithoutResponse(sms_id=1, text="request", link="kcell", reason="outcome_unknown")
UNDELIVERABLE = TextUndeliverable(sms_id=1, text="request", state="expired", error="")
ALMATY = load_timezone("Asia/Almaty")
OPENS, CLOSES = parse_send_window("09:00-21:00")
CALENDAR = Calendar(
    timezone=ALMATY,
    answer_days=3,
    grace=timedelta(minutes=10),
    window_opens=OPENS,
    window_closes=CLOSES,
)
RULES = Rules(calendar=CALENDAR)
FALLBACK = replace(RULES, fallback_on_undeliverable=True)
MOTHER, FATHER = "77011234567", "77021234567"


def almaty(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ALMATY).astimezone(UTC)


MONDAY = almaty("2026-11-23 10:00")
FRIDAY = almaty("2026-11-27 09:00")
TUESDAY = almaty("2026-12-01 00:10")


def fresh(*relations: str) -> Case:
    return Case(state=State.LOOKING_UP, relations=relations or ("mother", "father"))


def accepted(at: datetime = MONDAY, *, repeat: int = 0, msisdn: str = MOTHER) -> ConfirmAccepted:
    text = Kind.REPEAT if repeat else Kind.REQUEST
    return ConfirmAccepted(text=text, repeat=repeat, msisdn=msisdn, at=at, detail=ACCEPTED)


def refused_by_smsc(*, repeat: int = 0, text: Kind | None = None) -> ReportRefused:
    text = text or (Kind.REPEAT if repeat else Kind.REQUEST)
    return ReportRefused(text=text, repeat=repeat, msisdn=MOTHER, detail=REFUSED)


def without_response(*, repeat: int = 0) -> ReportRefused:
    return replace(refused_by_smsc(repeat=repeat), detail=WITHOUT_RESPONSE)


def undeliverable(*, repeat: int = 0, msisdn: str = MOTHER) -> ReportUndeliverable:
    text = Kind.REPEAT if repeat else Kind.REQUEST
    return ReportUndeliverable(text=text, repeat=repeat, msisdn=msisdn, detail=UNDELIVERABLE)


def delivered(*, repeat: int = 0, msisdn: str = MOTHER) -> ReportDelivered:
    return ReportDelivered(text=Kind.REPEAT if repeat else Kind.REQUEST, repeat=repeat, msisdn=msisdn)


def parent_reply(
    verdict: Verdict,
    at: datetime = MONDAY,
    *,
    msisdn: str = MOTHER,
    submitted: bool = True,
    normalised: bool = False,
) -> ParentReply:
    return ParentReply(
        msisdn=msisdn,
        verdict=verdict,
        normalised=normalised,
        reply_at=at,
        submitted=submitted,
        evidence="sha256:00",
        link="kcell",
    )


def agree(at: datetime = MONDAY) -> ParentReply:
    return parent_reply(Verdict.AGREE, at)


def refuse(at: datetime = MONDAY) -> ParentReply:
    return parent_reply(Verdict.REFUSE, at)


def by_other_link(reply: ParentReply) -> HoldReply:
    return HoldReply(reply=replace(reply, link="tele2"), operator="kcell", digest="hmac-sha256:00")


def accept(reply: ParentReply | None, *, asked: bool = True) -> AcceptReply:
    return AcceptReply(held=None if reply is None else by_other_link(reply), asked=asked, by="ops")


def after(case: Case, *inputs: Input, now: datetime = MONDAY, rules: Rules = RULES) -> Case:
    for given in inputs:
        decision = decide(case, given, now, rules)
        assert not decision.rejected, given
        case = decision.case
    return case


def names(decision: Decision) -> list[str]:
    return [event.name.value for event in decision.events]


def queued(*relations: str, rules: Rules = RULES) -> Case:
    return after(fresh(*relations), UseNumber(msisdn=MOTHER), OpenQuestion(), rules=rules)


def asked(*relations: str, rules: Rules = RULES) -> Case:
    return after(queued(*relations), accepted(), rules=rules)


def reminded(*, rules: Rules = RULES) -> Case:
    repeating = after(asked(), MeetDeadline(), now=FRIDAY, rules=rules)
    return after(repeating, accepted(FRIDAY, repeat=1), now=FRIDAY, rules=rules)


CASES: Mapping[str, Case] = {
    "looking_up": fresh(),
    "waiting": after(fresh(), UseNumber(msisdn=MOTHER)),
    "queued": queued(),
    "asked": asked(),
    "repeating": after(asked(), MeetDeadline(), now=FRIDAY),
    "reminded": reminded(),
    "holding": after(asked(), by_other_link(agree())),
    "consented": after(asked(), agree()),
    "voucher_issued": after(asked(), agree(), IssueVoucher(voucher_id="V-1")),
    "voucher_rejected": after(asked(), agree(), RejectVoucher(reason="not entitled")),
    "refused": after(asked(), refuse()),
    "no_number": after(fresh("mother"), SkipRecipient()),
    "no_answer": after(reminded(), MeetDeadline(), now=TUESDAY),
    "no_answer, holding": after(reminded(), by_other_link(refuse()), MeetDeadline(), now=TUESDAY),
    "undeliverable": after(queued(), refused_by_smsc()),
    "cancelled": after(asked(), Cancel(reason="moved away", by="ops")),
    "parked at look-up": after(fresh(), Park(reason="mcb: 404")),
    "parked at routing": after(queued(), Park(reason="no_route")),
    "parked at voucher": after(asked(), agree(), Park(reason="wallet: 404")),
}
