"""What a reply decides: the first clear one to the open question counts, any other is reported."""

from datetime import datetime, timedelta

from gateway.consent.case import Case, Rules, State
from gateway.consent.details import AcceptedReply, HeldReply, Reason, Relation, Reply, ReplyOfReason
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import AcceptReply, Decision, Effect, HoldReply, ParentReply, Send
from gateway.consent.outcomes import end_case, has_agreed, reject
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind

WITHDRAWAL_HELD_FOR = timedelta(days=30)
"""The business time after which a held refusal of a parent who has consented lapses."""


def parent_reply(case: Case, given: ParentReply, now: datetime, rules: Rules) -> Decision:
    if given.verdict is Verdict.OTHER:
        return Decision(case=case, events=(Event(EventType.REPLY_OTHER),))
    if given.verdict is Verdict.EMPTY:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason("empty")),))
    if _is_in_time(case, given):
        return _reply_in_time(case, given, now, rules)
    return _reply_out_of_time(case, given, rules)


def _is_in_time(case: Case, given: ParentReply) -> bool:
    """Whether the reply is one to the open question."""
    return given.msisdn == case.msisdn and (
        case.state in (State.ASKED, State.REMINDED) or (case.state is State.QUEUED and given.submitted)
    )


def _reply_in_time(case: Case, given: ParentReply, now: datetime, rules: Rules) -> Decision:
    if given.possible_redelivery:
        return _reask(case, given)
    if given.verdict is Verdict.UNCLEAR:
        unclear = Event(EventType.REPLY_UNCLEAR)
        if not rules.clarify or case.clarified >= case.repeat:
            return Decision(case=case, events=(unclear,))
        return Decision(
            case=case._replace(clarified=case.repeat),
            events=(unclear,),
            effects=(Send(text=Kind.CLARIFY, repeat=case.repeat, link=given.link),),
        )
    return _count_reply(case, given, now, rules, asked=case.state is not State.QUEUED)


def _count_reply(case: Case, given: ParentReply, now: datetime, rules: Rules, *, asked: bool) -> Decision:
    """The consent or the refusal. The question is open, or its case has ended without a reply that counts.

    A reply may come before the last submit_sm_resp of the question: unless SDU was told so (`asked`), it gets
    `asked` first.
    """
    reply = Reply(rules.calendar.iso_local(given.reply_at), given.normalised)
    closing = (Effect.WITHDRAW, Effect.RELEASE_NUMBER) if case.ended_at is None else ()
    asking = () if asked else (Event(EventType.ASKED, Relation(case.relation)),)
    if given.verdict is Verdict.AGREE:
        return Decision(
            case=case._replace(
                state=State.CONSENTED,
                answered_at=given.reply_at,
                evidence=given.evidence,
                due_at=None,
                ended_at=None,
                held=None,
            ),
            events=(*asking, Event(EventType.CONSENTED, reply)),
            effects=(*closing, Send(text=Kind.AGREED, link=given.link), Effect.FORM_VOUCHER),
        )
    return Decision(
        case=end_case(case, State.REFUSED, now, answered_at=given.reply_at),
        events=(*asking, Event(EventType.REFUSED, reply)),
        effects=(*closing, Send(text=Kind.REFUSED, link=given.link)),
    )


def hold_reply(case: Case, given: HoldReply) -> Decision:
    """Holds for ops a clear reply to the open question, and a refusal after the consent; any other is ignored.

    A held agreement does not displace a held refusal: the SMSC may have delivered the agreement again.
    """
    reply = given.reply
    if reply.possible_redelivery:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason("may be a copy")),))
    counts = reply.verdict in (Verdict.AGREE, Verdict.REFUSE) and _is_in_time(case, reply)
    withdraws = reply.verdict is Verdict.REFUSE and has_agreed(case) and reply.msisdn == case.msisdn
    if not (counts or withdraws):
        reason = ReplyOfReason("not by a link of the number", given.digest)
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, reason),))
    held = case.held if case.held is Verdict.REFUSE else reply.verdict
    due_at = reply.reply_at + WITHDRAWAL_HELD_FOR if withdraws else case.due_at
    return Decision(
        case=case._replace(held=held, due_at=due_at),
        events=(Event(EventType.REPLY_HELD, HeldReply(reply.link, given.operator)),),
    )


def drop_withdrawal(case: Case) -> Decision:
    """Holds a withdrawal no longer that nobody has counted within WITHDRAWAL_HELD_FOR."""
    return Decision(
        case=case._replace(held=None, due_at=None),
        events=(Event(EventType.REPLY_IGNORED, Reason("held, and not counted")),),
    )


def accept_reply(case: Case, given: AcceptReply, now: datetime, rules: Rules) -> Decision:
    """Counts the held reply. It came in time, also when the case has ended without a reply that counts since."""
    held, agreed = given.held, has_agreed(case)
    if held is None or held.reply.verdict is not case.held or (case.state is State.PARKED and not agreed):
        return reject(case)
    accepted = Event(EventType.REPLY_ACCEPTED, AcceptedReply(given.by, held.reply.link, held.digest))
    if agreed:
        withdrawal = Reply(rules.calendar.iso_local(held.reply.reply_at), held.reply.normalised)
        return Decision(
            case=case._replace(held=None, due_at=None),
            events=(accepted, Event(EventType.WITHDRAWAL_REQUESTED, withdrawal)),
        )
    counted = _count_reply(case, held.reply, now, rules, asked=given.asked)
    return counted._replace(events=(accepted, *counted.events))


def _reask(case: Case, given: ParentReply) -> Decision:
    """A clarification for a possibly redelivered reply: it is no consent, but a genuine reply must not be ignored.

    Sent once per question text, also when ``journey.clarify`` is off, because the reply itself was clear.
    """
    unclear = Event(EventType.REPLY_UNCLEAR, Reason("may be a copy"))
    if case.reasked >= case.repeat:
        return Decision(case=case, events=(unclear,))
    return Decision(
        case=case._replace(reasked=case.repeat),
        events=(unclear,),
        effects=(Send(text=Kind.CLARIFY, repeat=case.repeat, link=given.link),),
    )


def _reply_out_of_time(case: Case, given: ParentReply, rules: Rules) -> Decision:
    """A reply without effect on the state: the first one that counted stands, and a later one is only reported."""
    if given.possible_redelivery or given.verdict is Verdict.UNCLEAR:
        reason = "may be a copy" if given.possible_redelivery else "unclear"
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason(reason)),))
    unasked = case.state in (State.WAITING, State.QUEUED) or case.resume is State.WAITING
    if unasked and given.msisdn == case.msisdn:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason("not asked yet")),))
    reply = Reply(rules.calendar.iso_local(given.reply_at), given.normalised)
    agreed = has_agreed(case)
    same = given.verdict is (Verdict.AGREE if agreed else Verdict.REFUSE)
    if (agreed or case.state is State.REFUSED) and same:
        return Decision(case=case, events=(Event(EventType.REPLY_REPEATED, reply),))
    name = EventType.WITHDRAWAL_REQUESTED if agreed else EventType.LATE_REPLY
    return Decision(case=case, events=(Event(name, reply),))
