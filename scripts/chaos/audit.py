"""The audit: what handsets, wallet and SDU saw, against what the database says. Each sentence is a wrong."""

import hmac
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson

from chaos.families import Families, Pupil
from chaos.parents import LINK, Parents, Sent
from chaos.partners import Neighbours
from chaos.records import Entry, Records
from gateway.simulators.handset import Message, Submitted

ANSWERS = frozenset({"consented", "refused"})
ENDS = ANSWERS | {"no_number", "no_answer", "undeliverable", "cancelled"}
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
"""What SDU must have heard of a case before."""
DURABLE_WITHIN = 10.0
"""Seconds after which an SMSC's answer is surely in its row, even on a busy machine."""
TOLD_BY = {"agreed": "consented", "refused": "refused"}
"""Texts 3 and 2, and what they tell."""
READ_AS = {True: "consented", False: "refused"}


class Audit:
    """Of one run. `upheavals` are the instants at which the database was killed or a process paused."""

    def __init__(
        self,
        families: Families,
        partners: Neighbours,
        parents: Parents,
        records: Records,
        upheavals: Sequence[float],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._partners, self._parents, self._records, self._upheavals = partners, parents, records, upheavals
        self._pupils = {pupil.record_id: pupil for pupil in families.pupils}
        self._case_of: dict[Pupil, str] = {
            self._pupils[case["record_id"]]: case_id for case_id, case in records.cases.items()
        }

    def wrongs(self) -> list[str]:
        """Everything that should not be."""
        parts: tuple[Callable[[], Iterator[str]], ...] = (
            self._cases, self._consents, self._replies, self._vouchers, self._statuses, self._segments,
            self._messages, self._contracts,
        )  # fmt: skip
        return [wrong for part in parts for wrong in part()]

    def _cases(self) -> Iterator[str]:
        """None is missing, none stuck."""
        if missing := set(self._pupils) - {case["record_id"] for case in self._records.cases.values()}:
            yield f"no case was made of {sorted(missing)}"
        if len(self._records.cases) != len(self._pupils):
            yield f"{len(self._records.cases)} cases of {len(self._pupils)} pupils"
        for case_id, case in self._records.cases.items():
            self.counts[f"cases {case['state']}"] += 1
            if case["ended_at"] is None:
                yield f"case {case_id} is stuck: {case['state']}"
        states = Counter(case["state"] for case in self._records.cases.values())
        if states != Counter(self._records.progress):
            yield f"progress counts {self._records.progress}, the cases are {dict(states)}"
        for text in self._records.sms:
            if text["state"] in ("queued", "sending"):
                yield f"text {text['sms_id']} ({text['kind']}) is stuck: {text['state']}"

    def _consents(self) -> Iterator[str]:
        """None is invented: the parent has sent a clear agreement to this very question, and no refusal before."""
        for case_id, entries in self._records.of_case.items():
            answers = [entry for entry in entries if entry.event in ANSWERS]
            if len(answers) > 1:
                yield f"case {case_id} was answered {len(answers)} times"
            for answer in answers:
                pupil = self._pupils[self._records.cases[case_id]["record_id"]]
                said = [sent for sent in self._parents.sent if sent.pupil is pupil and sent.agrees is not None]
                if not said:
                    yield f"case {case_id} is {answer.event}: nobody has said so ({pupil.manner})"
                elif READ_AS[bool(said[0].agrees)] != answer.event:
                    yield f"case {case_id} is {answer.event}: {said[0].text!r} came first ({pupil.manner})"
            if answers and answers[0].event == "consented":
                yield from self._evidence(case_id)
            texts = sorted(text["kind"] for text in self._records.sms if text["case_id"] == case_id)
            told = [kind for kind in texts if kind in TOLD_BY]
            if told != [kind for kind, event in TOLD_BY.items() if answers and answers[0].event == event]:
                yield f"case {case_id} is {[answer.event for answer in answers]} and has the texts {told}"

    def _evidence(self, case_id: str) -> Iterator[str]:
        """The consent's evidence is a reply that the parent has sent to this question."""
        evidence = self._records.cases[case_id]["evidence"]
        digests = {self._digest(reply): reply for reply in self._records.replies if reply["case_id"] == case_id}
        reply = digests.get("hmac-" + evidence) if evidence else None
        if reply is None or reply["verdict"] != "agree":
            yield f"case {case_id}: its evidence {evidence} is no reply that agrees"

    def _digest(self, reply: Mapping[str, object]) -> str:
        octets = reply["octets"]
        assert isinstance(octets, bytes)
        known = orjson.dumps(
            [reply["link"], reply["source_addr"], reply["destination_addr"], octets.hex(), reply["smsc_time"]]
        )
        key = hmac.digest(self._records.evidence_key, f"case:{reply['case_id']}".encode(), "sha256")
        return "hmac-sha256:" + hmac.digest(key, known, "sha256").hex()

    def _replies(self) -> Iterator[str]:
        """What was acknowledged is in the journal and, if clear and in time, the case's answer."""
        stored: defaultdict[tuple[str, str], list[str | None]] = defaultdict(list)
        for reply in self._records.replies:
            text = reply["octets"].decode("utf-16-be" if reply["data_coding"] else "ascii")
            stored[reply["source_addr"], text].append(reply["case_id"])
        for sent in self._parents.sent:
            kept = stored[sent.number, sent.text]
            self.counts["replies stored again"] += max(len(kept) - 1, 0)
            if sent.acked_at is None:
                yield f"{_said(sent)} was never acknowledged"
            elif not kept:
                yield f"{_said(sent)} was acknowledged and is lost"
            elif sent.pupil is None:
                if any(kept):
                    yield f"{_said(sent)} went to case {kept[0]}, which it cannot have meant"
            elif self._case_of[sent.pupil] not in kept or not set(kept) <= self._may_have_got(sent.pupil):
                yield f"{_said(sent)} went to {kept}, not to {self._case_of[sent.pupil]}"
            else:
                yield from self._heeded(sent, self._records.of_case[self._case_of[sent.pupil]])

    def _may_have_got(self, pupil: Pupil) -> set[str | None]:
        """The pupil's case, and those of siblings that were not taken in by a copy of the reply."""
        siblings = [c for other, c in self._case_of.items() if other.number == pupil.number]
        reasked = {
            case_id
            for case_id in siblings
            if any(entry.detail.get("reason") == "may be a copy" for entry in self._records.of_case[case_id])
        }
        return {self._case_of[pupil], *reasked}

    def _heeded(self, sent: Sent, entries: list[Entry]) -> Iterator[str]:
        """A clear reply that came while the question was open is its answer; otherwise it is reported."""
        if sent.agrees is None:
            return
        verdict = "agree" if sent.agrees else "refuse"
        read = [n for n, e in enumerate(entries) if e.event == "reply_read" and e.detail["verdict"] == verdict]
        if not read:
            yield f"{_said(sent)} was acknowledged and never read as {verdict}"
            return
        before = {entry.event for entry in entries[: read[0]]}
        after = [entry.event for entry in entries[read[0] :]]
        if before & ENDS:
            reported = {"reply_repeated", "late_reply", "withdrawal_requested"}
            if not reported & set(after):
                yield f"{_said(sent)} came late and was not reported: {after}"
        elif READ_AS[sent.agrees] not in after:
            yield f"{_said(sent)} was in time and did not count: {sorted(before)}, then {after}"

    def _vouchers(self) -> Iterator[str]:
        """One key for each consent, none without."""
        of_case = self._records.of_case.items()
        consented = {case_id for case_id, entries in of_case if any(e.event == "consented" for e in entries)}
        keys = Counter(self._partners.wallet.keys)
        self.counts["wallet calls repeated"] = keys.total() - len(keys)
        if strange := set(keys) - consented:
            yield f"keys without a consent: {sorted(strange)}"
        if missing := consented - set(keys):
            yield f"consents of which the wallet was never told: {sorted(missing)}"
        for case_id, case in self._records.cases.items():
            voucher = self._partners.wallet.vouchers.get(case_id)
            if voucher is not None and case["voucher_id"] != voucher.voucher_id:
                yield f"case {case_id} has voucher {case['voucher_id']}, the wallet {voucher.voucher_id}"
            if case["state"] == "voucher_issued" and voucher is None and not self._pupils[case["record_id"]].had:
                yield f"case {case_id} has a voucher that the wallet has not formed"
        of_pupil: defaultdict[str, set[str]] = defaultdict(set)
        for call in self._partners.wallet.calls:
            of_pupil[call.body["pupil"]["iin"]].add(call.headers["Idempotency-Key"])
        for several in of_pupil.values():
            if len(several) > 1:
                yield f"a pupil has the keys {sorted(several)}"

    def _statuses(self) -> Iterator[str]:
        """SDU has each status of the journal once, in order, and none makes no sense where it stands."""
        sdu = self._partners.sdu
        self.counts["statuses"], self.counts["statuses repeated"] = len(sdu.events), sdu.repeated
        for case_id, entries in self._records.of_case.items():
            due = [(e.seq, e.event_id, e.event) for e in entries if e.event_id is not None]
            told = [(e["seq"], e["event_id"], e["status"]) for e in sdu.of(case_id)]
            if due != told:
                yield f"case {case_id}: SDU was told {told}, the journal has {due}"
            heard: set[str] = set()
            for _, _, status in due:
                if status in heard and status not in AFTER_THE_END:
                    yield f"case {case_id}: {status} twice"
                if status in BEFORE and BEFORE[status] not in heard:
                    yield f"case {case_id}: {status} before {BEFORE[status]}: {[s for _, _, s in due]}"
                if heard & ENDS and status not in AFTER_THE_END:
                    yield f"case {case_id}: {status} after its end"
                heard.add(status)

    def _segments(self) -> Iterator[str]:
        """Segments come again only as they were, and only when something had died between answer and row."""
        for link, smsc in self._partners.smscs.items():
            copies: defaultdict[tuple[object, ...], list[Submitted]] = defaultdict(list)
            for submit in smsc.submitted:
                key: tuple[object, ...] = (submit.destination, submit.reference, submit.total, submit.number)
                copies[key if submit.reference is not None else (*key, submit.octets)].append(submit)
            self.counts["segments"] += len(smsc.submitted)
            for key, same in copies.items():
                if len({(s.octets, s.short_message, s.data_coding, s.esm_class) for s in same}) > 1:
                    yield f"segment {key} came again with other octets"
                accepted: Submitted | None = None
                for submit in same:
                    # Without a reference, two texts of the same words look like one and its copy.
                    if accepted is not None and submit.reference is not None:
                        self.counts["segments repeated"] += 1
                        if not self._may_be_forgotten(link, accepted, submit.at):
                            yield f"segment {key} was answered and came again, though nothing had died"
                    elif submit.taken and submit is not same[-1]:
                        self.counts["segments whose answer never came"] += submit.answered_at is None
                    if submit.status == 0 and submit.answered_at is not None:
                        accepted = submit

    def _may_be_forgotten(self, link: str, accepted: Submitted, again_at: float) -> bool:
        """The session or the database died before the answer can have been in a row."""
        assert accepted.answered_at is not None
        ended = self._parents.ended.get((link, accepted.session))
        soon = ended is not None and ended <= again_at and ended - accepted.answered_at <= DURABLE_WITHIN
        return soon or any(accepted.answered_at <= upheaval <= again_at for upheaval in self._upheavals)

    def _messages(self) -> Iterator[str]:
        """Each text is whole on the handset once; nothing else is; text 3 only where the parent agreed."""
        due: defaultdict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
        for text in self._records.sms:
            due[text["msisdn"], text["body"]].append(text)
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
            yield from self._was_agreed(messages)
        for (number, body), texts in due.items():
            whole = seen.pop((number, body), [])
            sent = [text for text in texts if text["accepted_at"] is not None]
            single = texts[0]["segments"] == 1  # no handset can tell a second copy of these
            self.counts["single segments shown again"] += max(len(whole) - len(texts), 0) if single else 0
            if len(whole) < len(sent) or (len(whole) > len(texts) and not single):
                yield f"{number} has {len(whole)} of {len(sent)} texts ({[text['kind'] for text in texts]})"
        for number, body in seen:
            yield f"{number} has a text that nobody has written: {body[:40]!r}"

    def _was_agreed(self, messages: Sequence[Message]) -> Iterator[str]:
        """As many children agreed for as there are texts 3 on one number, and each before its text."""
        first_said: dict[Pupil, Sent] = {}
        for sent in self._parents.sent:
            if sent.pupil is not None and sent.agrees is not None:
                first_said.setdefault(sent.pupil, sent)
        begun = sorted(min(segment.at for segment in message.segments.values()) for message in messages)
        number = messages[0].destination
        agreed = sorted(s.sent_at for s in first_said.values() if s.number == number and s.agrees)
        if len(begun) > len(agreed) or any(said > at for said, at in zip(agreed, begun, strict=False)):
            yield f"{number} has {len(begun)} texts 3, and has agreed {len(agreed)} times"

    def _contracts(self) -> Iterator[str]:
        """No partner has anything to complain of."""
        for partner in self._partners.partners:
            for complaint in partner.complaints:
                yield f"{type(partner).__name__}: {complaint}"
        for link, smsc in self._partners.smscs.items():
            for complaint in smsc.complaints:
                yield f"SMSC of {link}: {complaint}"
        for failure in self._parents.failures:
            yield f"a parent could not say it: {failure!r}"


def _said(sent: Sent) -> str:
    who = sent.pupil.manner if sent.pupil else "stray"
    return f"{sent.text!r} of {sent.number} ({who})"
