"""Decoding of a deliver_sm or data_sm into a receipt, a USSD message, a reply, or a segment of one."""

from dataclasses import replace

from smpplib.consts import SMPP_TON_ALNUM

from gateway.config import Link
from gateway.consent.identity import canonical_msisdn
from gateway.evidence.digests import Sender
from gateway.limits import MAX_REPLY_CHARACTERS, MAX_REPLY_OCTETS
from gateway.smpp.pdu import BLANK_OCTETS, Address, MalformedPdu, ShortMessage, TlvTag, decode_short_message
from gateway.smpp.receipt import Receipt, parse_receipt
from gateway.smpp.session import Received
from gateway.smpp.text import decode_text, without_final_nul
from gateway.smpp.user_data import Concatenation, split_udh
from gateway.smpp.ussd import parse_ussd
from gateway.store.inbound import ReplySegment
from gateway.usecases.inbound import InboundBatch
from gateway.usecases.receipts import FinalReceipt
from gateway.usecases.reply_evidence import Reply
from gateway.usecases.ussd import DialogueMessage


def decode_into(batch: InboundBatch, link: Link, received: Received) -> None:
    """Adds the message to the batch; of a receipt that is not final, only its state.

    A malformed PDU becomes a reply without a text, so that its octets are kept as evidence. The same holds for a
    message whose short_message and message_payload say different things.
    """
    try:
        message = decode_short_message(received.command_id, received.body)
    except MalformedPdu:
        batch.replies.append(Reply(link.name, "", "", received.body[:MAX_REPLY_OCTETS], 0, "", None))
        return
    if receipt := parse_receipt(message, link.receipt_states):
        _add_receipt(batch, link, message, receipt)
        return
    contradiction = _contradiction(link, message)
    if ussd := parse_ussd(message):
        octets = contradiction or ussd.octets
        too_long = len(octets) > MAX_REPLY_CHARACTERS
        ussd = replace(ussd, octets=octets[:MAX_REPLY_OCTETS])
        text = None if contradiction or too_long else ussd.text(link.default_alphabet)
        batch.ussd.append(
            DialogueMessage(
                link.name,
                sender_of(link, message.source),
                message.destination.addr,
                message.schedule_delivery_time,
                _as_received(message.source),
                ussd,
                text,
            )
        )
    elif contradiction:
        batch.replies.append(_reply(link, message, contradiction, text=None))
    else:
        _add_reply(batch, link, message)


def _add_reply(batch: InboundBatch, link: Link, message: ShortMessage) -> None:
    data = split_udh(message)
    octets = data.octets
    if data.to_port:
        batch.replies.append(_reply(link, message, octets, text=None)._replace(ignored="addressed to a port"))
    elif data.is_stray:
        batch.replies.append(_reply(link, message, octets, text=None))
    elif data.concatenation is None or len(octets) > MAX_REPLY_OCTETS:
        batch.replies.append(_reply(link, message, octets, text=_text(link, message, octets)))
    else:
        batch.segments.append(_segment(link, message, data.concatenation, octets))


def _add_receipt(batch: InboundBatch, link: Link, message: ShortMessage, receipt: Receipt) -> None:
    if receipt.unknown_state:
        batch.unknown_states.append((link.name, receipt.unknown_state))
    if not receipt.final:
        batch.not_final.append((link.name, receipt.state))
    else:
        batch.receipts.append(
            FinalReceipt(
                link.name,
                receipt.message_id,
                receipt.state,
                receipt.error,
                _subscriber(link, message),
                receipt.by_text,
            )
        )


def _subscriber(link: Link, message: ShortMessage) -> str:
    """The MSISDN that a receipt is about, in either of its addresses; "" when there is none."""
    numbers = [canonical_msisdn(address.addr) for address in (message.source, message.destination)]
    return next((number for number in numbers if number and number != canonical_msisdn(link.source)), "")


def _contradiction(link: Link, message: ShortMessage) -> bytes:
    """The octets of both, when short_message and message_payload say different things; else none."""
    both = message.short_message, message.tlvs.get(TlvTag.MESSAGE_PAYLOAD, b"")
    if not both[1].strip(BLANK_OCTETS) or message.payload != both[0]:
        return b""
    texts_octets = [without_final_nul(octets, message.data_coding, link.default_alphabet) for octets in both]
    if len({octets.strip(BLANK_OCTETS) for octets in texts_octets}) == 1:
        return b""
    texts = [decode_text(octets, message.data_coding, link.default_alphabet) for octets in both]
    same = None not in texts and len({(text or "").strip() for text in texts}) == 1
    return b"" if same else b"".join(both)


def _udh_octets(message: ShortMessage, octets: bytes) -> int:
    """The length of the UDH before the octets of the text."""
    return len(message.payload) - len(octets)


def sender_of(link: Link, source: Address) -> str:
    """The sender as a canonical MSISDN; as received when it is no subscriber, after its TON if need be.

    Whoever may choose a name (TON 5) may choose one that reads as a subscriber's number.
    """
    msisdn = canonical_msisdn(source.addr)
    if source.ton == SMPP_TON_ALNUM or source.ton in link.reject_source_tons:
        return source.addr if msisdn is None else f"TON {source.ton}: {source.addr}"
    return msisdn or source.addr


def _as_received(source: Address) -> Sender:
    return Sender(source.addr, source.ton, source.npi)


def _text(link: Link, message: ShortMessage, octets: bytes) -> str | None:
    """The text of a single message; None when the octets do not decode, or are more than a reply may have."""
    if len(octets) > MAX_REPLY_OCTETS:
        return None
    text = decode_text(octets, message.data_coding, link.default_alphabet, _udh_octets(message, octets))
    return text if text is not None and len(text) <= MAX_REPLY_CHARACTERS else None


def _reply(link: Link, message: ShortMessage, octets: bytes, text: str | None) -> Reply:
    """The reply in a single message; `octets` is its text without the UDH."""
    return Reply(
        link=link.name,
        source_addr=sender_of(link, message.source),
        destination_addr=message.destination.addr,
        octets=octets[:MAX_REPLY_OCTETS],
        data_coding=message.data_coding,
        smsc_time=message.schedule_delivery_time,
        text=text,
        received=_as_received(message.source),
    )


def _segment(link: Link, message: ShortMessage, concatenation: Concatenation, octets: bytes) -> ReplySegment:
    return ReplySegment(
        link=link.name,
        source_addr=sender_of(link, message.source),
        destination_addr=message.destination.addr,
        reference=concatenation.key,
        total=concatenation.total,
        number=concatenation.number,
        octets=octets,
        udh_octets=_udh_octets(message, octets),
        data_coding=message.data_coding,
        smsc_time=message.schedule_delivery_time,
        received_addr=message.source.addr,
        source_ton=message.source.ton,
        source_npi=message.source.npi,
    )
