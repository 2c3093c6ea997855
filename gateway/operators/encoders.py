"""The encoders of a link's submit_sm, from its configuration: made once, so that constant fields cost no text."""

from gateway.config import Link as LinkConfig
from gateway.smpp import ussd
from gateway.smpp.pdu import ReceiptRequest, SubmitEncoder


def text_encoder(config: LinkConfig, receipts: ReceiptRequest) -> SubmitEncoder:
    """For texts, with receipts requested as given."""
    return SubmitEncoder(
        config.source_address,
        receipts=receipts,
        service_type=config.service_type,
        dest_ton=config.dest_ton,
        dest_npi=config.dest_npi,
        validity=config.validity_period,
    )


def screen_encoder(config: LinkConfig) -> SubmitEncoder:
    """For USSD screens: their service_type is USSD's, they expire with their dialogue, and have no receipts."""
    return SubmitEncoder(
        config.source_address,
        receipts="none",
        service_type=ussd.SERVICE_TYPE,
        dest_ton=config.dest_ton,
        dest_npi=config.dest_npi,
    )
