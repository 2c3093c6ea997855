"""submit_multi as a submit_sm for each of its destinations (SMPP 3.4 §4.5)."""

import struct
from collections.abc import Iterator
from typing import Any

from smpplib import consts

from gateway.simulators import codec
from gateway.simulators.submission import Submitted

SUBMIT_SM = 0x0000_0004


def submits(pdu: Any) -> list[Any]:
    """The submit_sm of each destination, as smpplib's objects; MalformedPdu when there is none."""
    frames = list(_frames(pdu.body, pdu.sequence))
    if not frames:
        raise codec.MalformedPdu("submit_multi without a destination", consts.SMPP_ESME_RINVNUMDESTS)
    return [codec.parse(frame) for frame in frames]


def _frames(body: bytes, sequence_number: int) -> Iterator[bytes]:
    source = _after_nul(body, 0) + 2  # TON, NPI
    at = _after_nul(body, source)
    head, number = body[:at], body[at] if at < len(body) else 0
    at += 1
    addresses = []
    for _ in range(number):
        flag, begin = body[at : at + 1], at + 1
        match flag:
            case b"\x01":
                at = _after_nul(body, begin + 2)
                addresses.append(body[begin:at])
            case b"\x02":
                raise codec.MalformedPdu("there are no distribution lists", consts.SMPP_ESME_RINVDLNAME)
            case _:
                raise codec.MalformedPdu(f"dest_flag {flag.hex()}", consts.SMPP_ESME_RINVDESTFLAG)
    for address in addresses:
        rest = head + address + body[at:]
        yield codec.HEADER.pack(codec.HEADER.size + len(rest), SUBMIT_SM, 0, sequence_number) + rest


def _after_nul(body: bytes, at: int) -> int:
    end = body.find(b"\0", at)
    if end < 0:
        raise codec.MalformedPdu("submit_multi: an address without end", consts.SMPP_ESME_RINVMSGLEN)
    return end + 1


def unsuccessful(refused: list[tuple[Submitted, int]]) -> bytes:
    """no_unsuccess and unsuccess_sme(s) of the response, for the destinations with their command_status."""
    entries = (
        bytes((submit.destination_ton, submit.destination_npi))
        + submit.destination.encode("latin-1")
        + b"\0"
        + struct.pack(">I", status)
        for submit, status in refused
    )
    return bytes((len(refused),)) + b"".join(entries)
