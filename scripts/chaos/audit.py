"""The audit: compares what handsets, wallet and SDU recorded with the database; each message is a violation."""

import hmac
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

import orjson

from chaos.families import Behaviour, Families, Pupil
from chaos.parents import LINK, Parents, Sent
from chaos.partners import Partners
from chaos.records import Entry, Records
from gateway.simulators.handset import Message
from gateway.simulators.submission import Submitted

REPLY_STATUSES = frozenset({"consented", "refused"})
ENDS = REPLY_STATUSES | {"no_number", "no_answer", "undeliverable", "cancelled"}
AFTER_THE_END = frozenset(
    {
        "delivered", "late_reply", "withdrawal_requested",
        "voucher_issued", "voucher_rejected", "voucher_activated", "service_received",
    }
)  # fmt: skip
BEFORE = {
    "number_found": "received",
    "asked": "number_found",
    "delivered": "asked",
    "reminded": "asked",
    "consented": "asked",
    "refused": "asked",
    "no_answer": "asked",
    "voucher_issued": "consented",
    "voucher_rejected": "consented",
    "voucher_activated": "voucher_issued",
    "service_received": "voucher_issued",
    "withdrawal_requested": "consented",
}
"""The status that SDU must have got of the case before."""
DURABLE_WITHIN_SECONDS = 10.0
"""The time after which an SMSC's response is in its row, even on a busy machine."""
CONFIRMS = {"agreed": "consented", "refused": "refused"}
"""Texts 3 and 2, and the status that each confirms to the parent."""
READ_AS = {True: "consented", False: "refused"}
READ_WITHIN_SECONDS = 1.0
"""The time after which the gateway has read a response that was sent; a copy may have left before."""
MAX_COPIES_PER_SEGMENT = 1.1
MAX_CROSSING_SECONDS = 5.0
"""Real time by which an entry of the journal may be older than the one before it; the smallest step is longer."""


class Audit:
    """The audit of one run.

    `disruptions` are the instants at which the database was killed, its disk was full, or a process was paused.
    """

    def __init__(
        self,
        families: Families,
        partners: Partners,
        parents: Parents,
        records: Records,
        disruptions: Sequence[float],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._partners, self._parents, self._records, self._disruptions = partners, parents, records, disruptions
        self._pupils = {pupil.record_id: pupil for pupil in families.pupils}
        self._case_of: dict[Pupil, str] = {
            self._pupils[case["record_id"]]: case_id for case_id, case in records.cases.items()
        }

    def violations(self) -> list[str]:
        """Everything that violates what must hold."""
        checks: tuple[Callable[[], Iterator[str]], ...] = (
            self._cases, self._consents, self._replies, self._vouchers, self._statuses, self._segments,
            self._messages, self._contracts,
        )  # fmt: skip
        return [violation for check in checks for violation in check()]

    def _cases(self) -> Iterator[str]:
        """No case is missing, and every case has ended."""
        if missing := set(self._pupils) - {case["record_id"] for case in self._records.cases.values()}:
            yield f"no case exists for {sorted(missing)}"
        if len(self._records.cases) != len(self._pupils):
            yield f"{len(self._records.cases)} cases of {len(self._pupils)} pupils"
        for case_id, case in self._records.cases.items():
            self.counts[f"cases {case['state']}"] += 1
            if case["ended_at"] is None:
                yield f"case {case_id} is stuck: {case['state']}"
            pupil = self._pupils[case["record_id"]]
            if case["state"] == "undeliverable" and pupil.behaviour is not Behaviour.UNREACHABLE:
                yield f"case {case_id} is undeliverable, though no SMSC refuses its number"
        states = Counter(case["state"] for case in self._records.cases.values())
        if states != Counter(self._records.progress):
            yield f"progress counts {self._records.progress}, the cases are {dict(states)}"
        for wrong in self._records.wrong_entries:
            yield f"{wrong.table}: {wrong.missing} rows are missing, {wrong.left_over} follow from nothing"
        for text in self._records.sms:
            if text["sms_id"] in self._records.waiting_an_hour:
                self.counts["texts that may leave a third time after an hour"] += 1
            elif text["state"] in ("queued", "sending"):
                yield f"text {text['sms_id']} ({text['kind']}) is stuck: {text['state']}"

    def _consents(self) -> Iterator[str]:
        """No consent is invented: the parent sent a clear agreement to this question, and no refusal first."""
        for case_id, entries in self._records.of_case.items():
            replies = [entry for entry in entries if entry.event in REPLY_STATUSES]
            if len(replies) > 1:
                yield f"case {case_id} has {len(replies)} replies"
            for reply in replies:
                pupil = self._pupils[self._records.cases[case_id]["record_id"]]
                sent_replies = [
                    sent for sent in self._parents.sent if sent.pupil is pupil and sent.agrees is not None
                ]
                if not sent_replies:
                    yield f"case {case_id} is {reply.event}: no such reply was sent ({pupil.behaviour})"
                elif READ_AS[bool(sent_replies[0].agrees)] != reply.event:
                    first = sent_replies[0].text
                    yield f"case {case_id} is {reply.event}: {first!r} was sent first ({pupil.behaviour})"
            if replies and replies[0].event == "consented":
                yield from self._evidence(case_id)
            texts = sorted(text["kind"] for text in self._records.sms if text["case_id"] == case_id)
            confirmations = [kind for kind in texts if kind in CONFIRMS]
            if confirmations != [
                kind for kind, event in CONFIRMS.items() if replies and replies[0].event == event
            ]:
                yield f"case {case_id} is {[reply.event for reply in replies]} and has the texts {confirmations}"

    def _evidence(self, case_id: str) -> Iterator[str]:
        """The evidence of the consent is a reply of the parent to this question."""
        evidence = self._records.cases[case_id]["evidence"]
        digests = {self._digest(reply): reply for reply in self._records.replies if reply["case_id"] == case_id}
        reply = digests.get("hmac-" + evidence) if evidence else None
        if reply is None or reply["verdict"] != "agree":
            yield f"case {case_id}: its evidence {evidence} is not an agreement"

    def _digest(self, reply: Mapping[str, object]) -> str:
        octets = reply["octets"]
        assert isinstance(octets, bytes)
        known = orjson.dumps(
            [reply["link"], reply["source_addr"], reply["destination_addr"], octets.hex(), reply["smsc_time"],
             None, reply["received_addr"], reply["source_ton"], reply["source_npi"]]
        )  # fmt: skip
        key = hmac.digest(self._records.evidence_key, f"case:{reply['case_id']}".encode(), "sha256")
        return "hmac-sha256:" + hmac.digest(key, known, "sha256").hex()

    def _replies(self) -> Iterator[str]:
        """An acknowledged reply is in the journal and, if clear and in time, decides the case."""
        stored: defaultdict[tuple[str, str], list[str | None]] = defaultdict(list)
        for reply in self._records.replies:
            text = reply["octets"].decode("utf-16-be" if reply["data_coding"] else "ascii")
            stored[reply["source_addr"], text].append(reply["case_id"])
        unacknowledged = self._unacknowledged_deliveries()
        for sent in self._parents.sent:
            kept = stored[sent.number, sent.text]
            redelivered = sum(unacknowledged[sent.number, segment] for segment in sent.segments)
            self._count_repeated("replies stored again", max(len(kept) - 1, 0), redelivered)
            if sent.acked_at is None:
                yield f"{_described(sent)} was never acknowledged"
            elif not kept:
                yield f"{_described(sent)} was acknowledged and is lost"
            elif sent.pupil is None:
                if any(kept):
                    yield f"{_described(sent)} was assigned to case {kept[0]}, whose parent did not send it"
            elif self._case_of[sent.pupil] not in kept or not set(kept) <= self._possible_cases(sent.pupil):
                yield f"{_described(sent)} was assigned to {kept}, not to {self._case_of[sent.pupil]}"
            else:
                yield from self._applied(sent, self._records.of_case[self._case_of[sent.pupil]])

    def _unacknowledged_deliveries(self) -> Counter[tuple[str, str | None]]:
        """How many deliver_sm with this sender and text got no response: the SMSC has to deliver each again."""
        return Counter(
            (delivered.source, delivered.text)
            for smsc in self._partners.smscs.values()
            for delivered in smsc.delivered
            if delivered.kind == "reply" and delivered.responded_at is None
        )

    def _count_repeated(self, name: str, repeated: int, unacknowledged: int) -> None:
        """Counts repetitions; those of requests that never had a response are right, and counted apart."""
        due = min(repeated, unacknowledged)
        self.counts[name] += repeated - due
        self.counts[f"{name}, for want of a response"] += due

    def _possible_cases(self, pupil: Pupil) -> set[str | None]:
        """The pupil's case, and those of siblings that were asked again because of a possible redelivery."""
        siblings = [c for other, c in self._case_of.items() if other.number == pupil.number]
        reasked = {
            case_id
            for case_id in siblings
            if any(entry.detail.get("reason") == "may be a copy" for entry in self._records.of_case[case_id])
        }
        return {self._case_of[pupil], *reasked}

    def _applied(self, sent: Sent, entries: list[Entry]) -> Iterator[str]:
        """A clear reply while the question was open decides it; a later one is reported."""
        if sent.agrees is None:
            return
        verdict = "agree" if sent.agrees else "refuse"
        read = [n for n, e in enumerate(entries) if e.event == "reply_read" and e.detail["verdict"] == verdict]
        if not read:
            yield f"{_described(sent)} was acknowledged and never read as {verdict}"
            return
        before = {entry.event for entry in entries[: read[0]]}
        after = [entry.event for entry in entries[read[0] :]]
        if before & ENDS:
            reported = {"reply_repeated", "late_reply", "withdrawal_requested"}
            if not reported & set(after):
                yield f"{_described(sent)} was late and was not reported: {after}"
        elif READ_AS[sent.agrees] not in after:
            yield f"{_described(sent)} was in time and was not applied: {sorted(before)}, then {after}"

    def _vouchers(self) -> Iterator[str]:
        """One Idempotency-Key for each consent, none without a consent."""
        of_case = self._records.of_case.items()
        consented = {case_id for case_id, entries in of_case if any(e.event == "consented" for e in entries)}
        keys = Counter(self._partners.wallet.keys)
        self.counts["wallet calls repeated"] = keys.total() - len(keys)
        if unexpected := set(keys) - consented:
            yield f"keys without a consent: {sorted(unexpected)}"
        if missing := consented - set(keys):
            yield f"consents that never reached the wallet: {sorted(missing)}"
        for case_id, case in self._records.cases.items():
            voucher = self._partners.wallet.vouchers.get(case_id)
            if voucher is not None and case["voucher_id"] != voucher.voucher_id:
                yield f"case {case_id} has voucher {case['voucher_id']}, the wallet {voucher.voucher_id}"
            if (
                case["state"] == "voucher_issued"
                and voucher is None
                and not self._pupils[case["record_id"]].had_voucher
            ):
                yield f"case {case_id} has a voucher that the wallet did not form"
        of_pupil: defaultdict[str, set[str]] = defaultdict(set)
        for call in self._partners.wallet.calls:
            of_pupil[call.body["pupil"]["iin"]].add(call.headers["Idempotency-Key"])
        for several in of_pupil.values():
            if len(several) > 1:
                yield f"a pupil has the keys {sorted(several)}"

    def _statuses(self) -> Iterator[str]:
        """SDU has each status of the journal once, in order, and each in a possible place."""
        sdu = self._partners.sdu
        self.counts["statuses"], self.counts["statuses repeated"] = len(sdu.events), sdu.repeated
        for case_id, entries in self._records.of_case.items():
            due = [(e.seq, e.event_id, e.event) for e in entries if e.event_id is not None]
            pushed = [(e["seq"], e["event_id"], e["status"]) for e in sdu.of(case_id)]
            if due != pushed:
                yield f"case {case_id}: SDU got {pushed}, the journal has {due}"
            earlier: set[str] = set()
            for _, _, status in due:
                if status in earlier and status not in AFTER_THE_END:
                    yield f"case {case_id}: {status} twice"
                if status in BEFORE and BEFORE[status] not in earlier:
                    yield f"case {case_id}: {status} before {BEFORE[status]}: {[s for _, _, s in due]}"
                if earlier & ENDS and status not in AFTER_THE_END:
                    yield f"case {case_id}: {status} after its end"
                earlier.add(status)

    def _segments(self) -> Iterator[str]:
        """A segment is repeated only unchanged, and only when something was killed between response and row."""
        for link, smsc in self._partners.smscs.items():
            copies: defaultdict[tuple[object, ...], list[Submitted]] = defaultdict(list)
            for submit in smsc.submitted:
                key: tuple[object, ...] = (submit.destination, submit.reference, submit.total, submit.number)
                copies[key if submit.reference is not None else (*key, submit.octets)].append(submit)
            self.counts["segments"] += len(smsc.submitted)
            for key, same in copies.items():
                if len({(s.octets, s.short_message, s.data_coding, s.esm_class) for s in same}) > 1:
                    yield f"segment {key} was repeated with other octets"
                accepted: Submitted | None = None
                for submit in same:
                    # Without a reference, two texts with the same words cannot be told from one and its copy.
                    if accepted is not None and submit.reference is not None and _was_read(accepted, submit.at):
                        self.counts["segments repeated"] += 1
                        if not self._may_be_unrecorded(link, accepted, submit.at):
                            yield f"segment {key} had a response and was repeated, though nothing was killed"
                    elif submit.accepted and submit is not same[-1]:
                        self.counts["segments whose response was never sent"] += submit.responded_at is None
                    if submit.status == 0 and submit.responded_at is not None:
                        accepted = submit

    def too_many_copies(self) -> Iterator[str]:
        """SMSCs accepted each segment about once; only segments with a reference can be told from others."""
        accepted: Counter[tuple[object, ...]] = Counter(
            (link, submit.destination, submit.reference, submit.total, submit.number)
            for link, smsc in self._partners.smscs.items()
            for submit in smsc.submitted
            if submit.accepted and submit.reference is not None
        )
        self.counts["segments accepted"] = len(accepted)
        self.counts["copies of segments accepted"] = accepted.total() - len(accepted)
        if accepted.total() > MAX_COPIES_PER_SEGMENT * len(accepted):
            yield f"{accepted.total()} copies of {len(accepted)} segments"

    def backwards(self, rate: float) -> Iterator[str]:
        """Business time, `rate` times as fast, follows no step of a clock; transactions at once may cross."""
        tolerance = timedelta(seconds=MAX_CROSSING_SECONDS * rate)
        for case_id, entries in self._records.of_case.items():
            for earlier, later in pairwise(entries):
                if later.at < earlier.at - tolerance:
                    yield f"case {case_id}: {later.event} at {later.at}, after {earlier.event} at {earlier.at}"

    def _may_be_unrecorded(self, link: str, accepted: Submitted, repeated_at: float) -> bool:
        """The session or the database ended before the response can have been in a row."""
        assert accepted.responded_at is not None
        ended = self._parents.ended.get((link, accepted.session))
        soon = (
            ended is not None and ended <= repeated_at and ended - accepted.responded_at <= DURABLE_WITHIN_SECONDS
        )
        return soon or any(accepted.responded_at <= disruption <= repeated_at for disruption in self._disruptions)

    def _messages(self) -> Iterator[str]:
        """Each text is complete on the handset once, and nothing else; text 3 only where the parent agreed."""
        due: defaultdict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
        for text in self._records.sms:
            due[text["msisdn"], text["sent_body"]].append(text)
        seen: defaultdict[tuple[str, str], list[Message]] = defaultdict(list)
        texts_3: defaultdict[str, list[Message]] = defaultdict(list)
        for smsc in self._partners.smscs.values():
            for message in smsc.messages:
                self.counts["copies dropped by handsets"] += message.repeated
                if LINK in message.text:
                    texts_3[message.destination].append(message)
                if message.complete:
                    seen[message.destination, message.text].append(message)
        for messages in texts_3.values():
            yield from self._agreements(messages)
        for (number, body), texts in due.items():
            complete = seen.pop((number, body), [])
            sent = [text for text in texts if text["accepted_at"] is not None]
            single = texts[0]["segments"] == 1  # a handset cannot recognise a repeated single segment
            if single:
                missing = sum(message.last.responded_at is None for message in complete)
                self._count_repeated("single segments shown again", max(len(complete) - len(texts), 0), missing)
            if len(complete) < len(sent) or (len(complete) > len(texts) and not single):
                yield f"{number} has {len(complete)} of {len(sent)} texts ({[text['kind'] for text in texts]})"
        for number, body in seen:
            yield f"{number} has a text that is in no row: {body[:40]!r}"

    def _agreements(self, messages: Sequence[Message]) -> Iterator[str]:
        """A number has at most as many texts 3 as agreements, and each after its agreement."""
        first_replies: dict[Pupil, Sent] = {}
        for sent in self._parents.sent:
            if sent.pupil is not None and sent.agrees is not None:
                first_replies.setdefault(sent.pupil, sent)
        received = sorted(min(segment.at for segment in message.segments.values()) for message in messages)
        number = messages[0].destination
        agreed = sorted(s.sent_at for s in first_replies.values() if s.number == number and s.agrees)
        if len(received) > len(agreed) or any(sent_at > at for sent_at, at in zip(agreed, received, strict=False)):
            yield f"{number} has {len(received)} texts 3, and {len(agreed)} agreements"

    def _contracts(self) -> Iterator[str]:
        """No partner recorded a violation."""
        for partner in self._partners.http_partners:
            for complaint in partner.complaints:
                yield f"{type(partner).__name__}: {complaint}"
        for link, smsc in self._partners.smscs.items():
            for complaint in smsc.complaints:
                yield f"SMSC of {link}: {complaint}"
        for failure in self._parents.failures:
            yield f"a reply could not be sent: {failure!r}"


def _was_read(accepted: Submitted, at: float) -> bool:
    """Whether the response was there before a copy left: it may be late."""
    assert accepted.responded_at is not None
    return accepted.responded_at + READ_WITHIN_SECONDS <= at


def _described(sent: Sent) -> str:
    who = sent.pupil.behaviour if sent.pupil else "stray"
    return f"{sent.text!r} of {sent.number} ({who})"
