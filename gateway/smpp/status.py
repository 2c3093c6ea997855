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
    """Permanent for this number."""


_KINDS: Final = {
    consts.SMPP_ESME_ROK: StatusKind.ACCEPTED,
    consts.SMPP_ESME_RTHROTTLED: StatusKind.THROTTLED,
    consts.SMPP_ESME_RMSGQFUL: StatusKind.BUSY,
    consts.SMPP_ESME_RSYSERR: StatusKind.BUSY,
    consts.SMPP_ESME_RX_T_APPN: StatusKind.BUSY,
    # The SMSC no longer knows our bind. That is no property of the destination.
    consts.SMPP_ESME_RINVBNDSTS: StatusKind.BUSY,
}
_NAMES: Final[dict[int, str]] = {
    value: constant.removeprefix("SMPP_") for constant, value in vars(consts).items() if "_ESME_R" in constant
}


def classify(command_status: int, overrides: Mapping[int, StatusKind]) -> StatusKind:
    """The kind of a submit_sm_resp; a link's `overrides` win for every status but 0.

    An unknown status is REFUSED. What a vendor means by it belongs into the link's table of statuses.
    """
    if command_status == consts.SMPP_ESME_ROK:
        return StatusKind.ACCEPTED
    return overrides.get(command_status) or _KINDS.get(command_status, StatusKind.REFUSED)


def name(command_status: int) -> str:
    """The status by its name in SMPP 3.4, as ESME_RTHROTTLED; else its number, as 0x00000421."""
    return _NAMES.get(command_status, f"0x{command_status:08X}")
