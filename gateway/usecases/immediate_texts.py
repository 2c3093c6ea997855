"""Texts that a transaction claims for this process as it queues them, because the link's send queue has room.

They are sent after the commit, without being queued and claimed first: a transaction and three changes of a row
less for each. The rows are as a claim leaves them. Until the transaction ends, the sender keeps room for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.store.outbox import NewSms
from gateway.store.sms import ClaimedSms


class LinkSender(Protocol):
    """The sender of a link in this process."""

    def reserve(self, text: NewSms) -> bool:
        """Whether it takes the text at once; it keeps room for it until `add` or `abandon`."""
        ...

    def add(self, texts: Sequence[ClaimedSms]) -> None:
        """The texts are committed as claimed by this process, to be sent now."""
        ...

    def abandon(self, texts: Sequence[NewSms], *, written: bool) -> None:
        """The transaction has failed. `written`: without a confirmed COMMIT the rows may be there all the same."""
        ...


@dataclass(frozen=True, slots=True)
class _OfLink:
    """The texts for one sender."""

    sender: LinkSender
    reserved: list[NewSms] = field(default_factory=list)
    claimed: list[ClaimedSms] = field(default_factory=list)


class ImmediateTexts:
    """The immediate texts of one transaction: `reserve`, `written`, then `committed` or `abandon`."""

    def __init__(self, senders: Mapping[str, LinkSender]) -> None:
        """`senders` by link."""
        self._senders = senders
        self._texts: dict[str, _OfLink] = {}

    def reserve(self, text: NewSms) -> bool:
        """Whether the text is to be claimed by this process at once."""
        sender = self._senders.get(text.link)
        if sender is None or not sender.reserve(text):
            return False
        self._texts.setdefault(text.link, _OfLink(sender)).reserved.append(text)
        return True

    def written(self, text: NewSms, sms_id: int, reference: int) -> None:
        """Notes the row of a reserved text: its sms_id and concatenation reference."""
        self._texts[text.link].claimed.append(_claimed(text, sms_id, reference))

    def committed(self) -> None:
        """Hands the texts to their senders."""
        texts, self._texts = self._texts, {}
        for one in texts.values():
            one.sender.add(one.claimed)

    def abandon(self) -> None:
        """Gives the room back; after `committed` it does nothing."""
        texts, self._texts = self._texts, {}
        for one in texts.values():
            one.sender.abandon(one.reserved, written=bool(one.claimed))


def _claimed(text: NewSms, sms_id: int, reference: int) -> ClaimedSms:
    """The text as the first claim of its row would return it."""
    return ClaimedSms(
        sms_id=sms_id,
        case_id=text.case_id,
        kind=text.kind.value,
        repeat=text.repeat,
        msisdn=text.msisdn,
        priority=text.priority,
        body=text.body,
        long_messages=text.long_messages,
        reference=reference,
        segments=text.segments,
        attempts=1,
        accepted_segments=0,
        tracked_segments=0,
        message_ids=None,
        tlvs=None,
        expires_in_seconds=None,
        busy_since=None,
    )
