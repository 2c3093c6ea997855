"""The commands of SMPP 3.4 that smpplib lacks: cancel_sm and submit_multi, with their responses."""

from collections.abc import Mapping
from typing import Any

from smpplib import command, smpp
from smpplib.ptypes import ostr


class _Command(command.Command):  # type: ignore[misc]
    params: Mapping[str, Any] = {}
    params_order: tuple[str, ...] = ()

    def __init__(self, name: str, **fields: Any) -> None:
        super().__init__(name, need_sequence=False, **fields)
        self._set_vars(**dict.fromkeys(self.params))


class _CancelSm(_Command):
    """§4.9.1."""

    params_order = (
        "service_type", "message_id", "source_addr_ton", "source_addr_npi", "source_addr",
        "dest_addr_ton", "dest_addr_npi", "destination_addr",
    )  # fmt: skip
    params: Mapping[str, Any] = {**command.SubmitSM.params, **command.QuerySM.params}


class _SubmitMulti(_Command):
    """§4.5.1; `body` is not decoded, because its addresses are a list."""

    body = b""

    def parse_params(self, data: bytes) -> None:
        self.body = data


class _SubmitMultiResp(_Command):
    """§4.5.2; `unsuccess` is the octets of no_unsuccess and unsuccess_sme(s)."""

    params_order = ("message_id", "unsuccess")
    params: Mapping[str, Any] = {**command.SubmitSMResp.params, "unsuccess": command.Param(type=ostr, max=65_535)}


_COMMANDS = {
    "cancel_sm": _CancelSm,
    "cancel_sm_resp": _Command,
    "submit_multi": _SubmitMulti,
    "submit_multi_resp": _SubmitMultiResp,
}


def make_pdu(name: str, **fields: Any) -> Any:
    """smpplib's object for a PDU of this name."""
    return _COMMANDS[name](name, **fields) if name in _COMMANDS else smpp.make_pdu(name, **fields)
