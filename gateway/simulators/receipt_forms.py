"""The deliver_sm of a receipt, in the form that an SMSC's habits give it."""

from typing import Any

from smpplib import consts

from gateway.clock import wall_now
from gateway.simulators.habits import NO_HABITS, Habits
from gateway.simulators.receipts import INTERMEDIATE
from gateway.simulators.submission import Submitted

MAX_SHORT_MESSAGE_BYTES = 254
TEXT_BYTES = 20
"""How much of a message its receipt repeats (SMPP 3.4 appendix B)."""


def receipt_fields(
    message: Submitted | str,
    message_id: str,
    outcome: str,
    *,
    form: str = "both",
    intermediate: bool = False,
    habits: Habits = NO_HABITS,
) -> dict[str, Any]:
    """The fields of a deliver_sm, by smpplib's names, that make it this receipt; addresses not included."""
    fields: dict[str, Any] = {"esm_class": INTERMEDIATE if intermediate else habits.receipt_esm_class}
    if form in ("text", "both"):
        date = wall_now().strftime("%y%m%d%H%M")
        repeated = habits.receipt_udh and not isinstance(message, str)
        begin = message.short_message[:TEXT_BYTES].decode("latin-1") if repeated else ""  # type: ignore[union-attr]
        characters = habits.receipt_characters(message_id, outcome, date, begin)
        if habits.receipt_ucs2:
            fields["data_coding"] = consts.SMPP_ENCODING_ISO10646
        encoding = "utf-16-be" if habits.receipt_ucs2 else "latin-1"
        fields["short_message"] = characters.encode(encoding)[:MAX_SHORT_MESSAGE_BYTES]
    if form in ("tlvs", "both"):
        fields["receipted_message_id"] = message_id
        fields["message_state"] = habits.receipt_state(outcome)[1]
    return fields


def receipt_addresses(message: Submitted | str, short_code: str, *, to_handset: bool = False) -> dict[str, Any]:
    """From the handset to the source_addr of the submit_sm, or as the submit_sm had them.

    Of a message that is known by its id alone, no handset is known.
    """
    if isinstance(message, str):
        esme, handset = (short_code, 0, 0), ("", consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN)
    else:
        esme = (message.source, message.source_ton, message.source_npi)
        handset = (message.destination, consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN)
    (source, ton, npi), destination = (esme, handset) if to_handset else (handset, esme)
    return {
        "source_addr": source,
        "source_addr_ton": ton,
        "source_addr_npi": npi,
        "destination_addr": destination[0],
        "dest_addr_ton": destination[1],
        "dest_addr_npi": destination[2],
    }


def nul_terminated(content: dict[str, Any]) -> dict[str, Any]:
    """The content with a NUL at the end of its short_message or message_payload."""
    ended = {name: content[name] + b"\0" for name in ("short_message", "message_payload") if content.get(name)}
    return {**content, **ended}
