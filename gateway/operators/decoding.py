"""Decoding of a deliver_sm or data_sm into a receipt, a USSD message, a reply, or a segment of one."""

from gateway.config import Link
from gateway.consent.identity import canonical_msisdn
from gateway.smpp.pdu import MalformedPdu, ShortMessage, decode_short_message
from gateway.smpp.receipt import parse_receipt
from gateway.smpp.session import Received
from gateway.smpp.text import Concatenation, decode, split_udh
from gateway.smpp.ussd import parse_ussd
from gateway.store.inbound import ReplySegment
from gateway.usecases.inbound import InboundBatch
from gateway.usecases.receipts import FinalReceipt
from gateway.usecases.reply_evidence import Reply
from gateway.usecases.ussd import DialogueMessage


def decode_into(batch: InboundBatch, link: Link, received: Received) -> None:
    """Adds the message to the batch; a receipt that is not final is dropped.

    A malformed PDU becomes a reply without a text, so that its octets are kept as evidence.
    """
    try:
        message = decode_short_message(received.command_id, received.body)
    except MalformedPdu:
        batch.replies.append(Reply(link.name, "", "", received.body, 0, "", None))
        return
    if receipt := parse_receipt(message):
        if receipt.final:
            batch.receipts.append(FinalReceipt(link.name, receipt.message_id, receipt.state, receipt.error))
    elif ussd := parse_ussd(message):
        text = ussd.text(link.default_alphabet)
        batch.ussd.append(
            DialogueMessage(
                link.name,
                sender_of(message),
                message.destination.addr,
                message.schedule_delivery_time,
                ussd,
                text,
            )
        )
    else:
        concatenation, octets = split_udh(message)
        if concatenation is None:
            batch.replies.append(_reply(link, message, octets))
        else:
            batch.segments.append(_segment(link, message, concatenation, octets))


def sender_of(message: ShortMessage) -> str:
    """The sender as a canonical MSISDN; as received when it is not one."""
    return canonical_msisdn(message.source.addr) or message.source.addr


def _reply(link: Link, message: ShortMessage, octets: bytes) -> Reply:
    """The reply in a single message; `octets` is its text without the UDH."""
    udh_octets = len(message.payload) - len(octets)
    return Reply(
        link=link.name,
        source_addr=sender_of(message),
        destination_addr=message.destination.addr,
        octets=octets,
        data_coding=message.data_coding,
        smsc_time=message.schedule_delivery_time,
        text=decode(octets, message.data_coding, link.default_alphabet, udh_octets),
    )


def _segment(link: Link, message: ShortMessage, concatenation: Concatenation, octets: bytes) -> ReplySegment:
    return ReplySegment(
        link=link.name,
        source_addr=sender_of(message),
        destination_addr=message.destination.addr,
        reference=concatenation.reference,
        total=concatenation.total,
        number=concatenation.number,
        octets=octets,
        udh_octets=len(message.payload) - len(octets),
        data_coding=message.data_coding,
        smsc_time=message.schedule_delivery_time,
    )
