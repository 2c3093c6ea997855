"""What an SMSC's command_status means for the segment that it responds to (SMPP 3.4 §5.1.3)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from smpplib import consts


class StatusKind(StrEnum):
    """What happens to a segment after its response."""

    ACCEPTED = "accepted"
    """The SMSC has it; it is never sent again."""
    THROTTLED = "throttled"
    """Sent too fast. The whole link pauses and slows down, then sends the same segment again."""
    BUSY = "busy"
    """The SMSC has no capacity now. The same segment goes again after a pause, a bounded number of times."""
    REFUSED = "refused"
    """The refusal is permanent for this number."""
    LINK = "link"
    """The refusal is about the link: its sender, service type, account, credit or bind. Nothing is sent but probes
    until one is accepted.
    """
    UNCLEAR = "unclear"
    """Refused with a status that is about the message, or that nobody knows. It is about the number when the link
    accepts another number after it, and about the link when many numbers in a row get it."""


_KINDS: Final = {
    consts.SMPP_ESME_ROK: StatusKind.ACCEPTED,
    consts.SMPP_ESME_RTHROTTLED: StatusKind.THROTTLED,
    consts.SMPP_ESME_RMSGQFUL: StatusKind.BUSY,
    consts.SMPP_ESME_RSYSERR: StatusKind.BUSY,
    consts.SMPP_ESME_RX_T_APPN: StatusKind.BUSY,
    # The session ends, and the segment goes again by the next one (gateway/smpp/session.py).
    consts.SMPP_ESME_RINVBNDSTS: StatusKind.BUSY,
    consts.SMPP_ESME_RINVDSTADR: StatusKind.REFUSED,
    consts.SMPP_ESME_RINVSRCADR: StatusKind.LINK,
    consts.SMPP_ESME_RINVSRCTON: StatusKind.LINK,
    consts.SMPP_ESME_RINVSRCNPI: StatusKind.LINK,
    consts.SMPP_ESME_RINVSERTYP: StatusKind.LINK,
    consts.SMPP_ESME_RSUBMITFAIL: StatusKind.LINK,
    consts.SMPP_ESME_RBINDFAIL: StatusKind.LINK,
    consts.SMPP_ESME_RINVPASWD: StatusKind.LINK,
    consts.SMPP_ESME_RINVSYSID: StatusKind.LINK,
    consts.SMPP_ESME_RINVSYSTYP: StatusKind.LINK,
}
REFUSED_CREDENTIALS: Final = frozenset({consts.SMPP_ESME_RINVPASWD, consts.SMPP_ESME_RINVSYSID})
"""The statuses of a bind_resp that does not accept system_id or password."""
CONFIGURABLE: Final = tuple(kind for kind in StatusKind if kind is not StatusKind.UNCLEAR)
"""What `links.statuses` may say of a status."""
_NAMES: Final[dict[int, str]] = {
    value: constant.removeprefix("SMPP_") for constant, value in vars(consts).items() if "_ESME_R" in constant
}


def classify(command_status: int, overrides: Mapping[int, StatusKind]) -> StatusKind:
    """The kind of a submit_sm_resp; a link's `overrides` win for every status but 0.

    A status that nobody knows is UNCLEAR. What a vendor means by it belongs into the link's table of statuses.
    """
    if command_status == consts.SMPP_ESME_ROK:
        return StatusKind.ACCEPTED
    return overrides.get(command_status) or _KINDS.get(command_status, StatusKind.UNCLEAR)


def name(command_status: int) -> str:
    """The status by its name in SMPP 3.4, as ESME_RTHROTTLED; else its number, as 0x00000421."""
    return _NAMES.get(command_status, f"0x{command_status:08X}")
