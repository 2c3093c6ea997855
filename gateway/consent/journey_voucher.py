"""The journey after the consent: the voucher and its use (§11–12)."""

from datetime import datetime

from gateway.consent.case import Case, State
from gateway.consent.details import EarlyEvent, Reason, Voucher
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import ActivateVoucher, Decision, IssueVoucher, RejectVoucher, UseVoucher
from gateway.consent.outcomes import end_case, reject


def close_voucher(case: Case, given: IssueVoucher | RejectVoucher, now: datetime) -> Decision:
    if isinstance(given, RejectVoucher):
        return Decision(
            case=end_case(case, State.VOUCHER_REJECTED, now),
            events=(Event(EventType.VOUCHER_REJECTED, Reason(given.reason)),),
        )
    voucher = Voucher(given.voucher_id)
    events = [Event(EventType.VOUCHER_ISSUED, voucher)]
    if case.activated_at is not None:  # the wallet's event came before its response
        events.append(Event(EventType.VOUCHER_ACTIVATED, voucher))
    if case.used_at is not None:
        events.append(Event(EventType.SERVICE_RECEIVED, voucher))
    issued = end_case(case, State.VOUCHER_ISSUED, now, voucher_id=given.voucher_id)
    return Decision(case=issued, events=tuple(events))


def follow_voucher(case: Case, given: ActivateVoucher | UseVoucher) -> Decision:
    early = case.state is State.CONSENTED or (case.state is State.PARKED and case.resume is State.CONSENTED)
    if case.state is State.PARKED and not early:
        return reject(case)
    if isinstance(given, ActivateVoucher):
        first = case.activated_at is None
        following, name = case._replace(activated_at=case.activated_at or given.at), EventType.VOUCHER_ACTIVATED
    else:
        first = case.used_at is None
        following, name = case._replace(used_at=case.used_at or given.at), EventType.SERVICE_RECEIVED
    if not first:
        return Decision(case=case)
    if early:
        return Decision(case=following, events=(Event(EventType.VOUCHER_EVENT_EARLY, EarlyEvent(name)),))
    return Decision(case=following, events=(Event(name, Voucher(case.voucher_id)),))
