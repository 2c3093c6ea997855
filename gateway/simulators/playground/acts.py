"""What the visitor can do: each is a command to a simulator."""

from typing import Any

from gateway.simulators.commands import execute
from gateway.simulators.playground.canteen import MAX_CODE_CHARACTERS
from gateway.simulators.playground.environment import SimulatedEnvironment
from gateway.simulators.playground.rejected import RejectedAct, Rejection
from gateway.simulators.playground.telephones import MAX_TEXT_CHARACTERS
from gateway.simulators.playground.vouchers import MAX_MARKS

MAX_NAME_CHARACTERS = 64


async def act(environment: SimulatedEnvironment, request: Any) -> dict[str, Any]:
    """Does what the request says; its result. RejectedAct when it cannot be done, ValueError when it is no act."""
    try:
        return await _act(environment, request)
    finally:
        environment.changed()


async def _act(environment: SimulatedEnvironment, request: Any) -> dict[str, Any]:
    telephones = environment.telephones
    match request:
        case {"act": "send", "number": number, "text": text}:
            await telephones.send(_short(number), _text(text))
        case {"act": "dial", "number": number, "code": code}:
            await telephones.dial(_short(number), _text(code))
        case {"act": "type", "number": number, "text": text}:
            await telephones.type(_short(number), _text(text))
        case {"act": "hang-up", "number": number}:
            await telephones.hang_up(_short(number))
        case {"act": "activate", "voucher": voucher}:
            await environment.vouchers.activate(_short(voucher))
        case {"act": "code", "voucher": voucher}:
            return environment.vouchers.new_code(_short(voucher))
        case {"act": "read", "code": code}:
            return await environment.canteen.read_code(_string(code, MAX_CODE_CHARACTERS))
        case {"act": "read-card", "voucher": voucher}:
            return await environment.canteen.read_card(_short(voucher))
        case {"act": "rate", "meal": meal, "marks": marks}:
            environment.vouchers.rate(_short(meal), _marks(marks))
        case {"act": "complain", "number": number, "text": text}:
            environment.complaints.send(_short(number), _text(text))
        case {"act": "break" | "repair" as what, "partner": partner}:
            await _switch(environment, _short(partner), works=what == "repair")
        case {"act": "push", "language": "kk" | "ru" as language}:
            await _push(environment, language)
        case _:
            raise ValueError("there is no such act")
    return {}


async def _switch(environment: SimulatedEnvironment, partner: str, *, works: bool) -> None:
    if partner not in environment.switches:
        raise ValueError("there is no such partner")
    await execute(environment.switches[partner], ["up" if works else "down"])


async def _push(environment: SimulatedEnvironment, language: str) -> None:
    if environment.push is None:
        raise RejectedAct(Rejection.NO_FAMILIES)
    await environment.push(language)


def _short(value: object) -> str:
    return _string(value, MAX_NAME_CHARACTERS)


def _text(value: object) -> str:
    return _string(value, MAX_TEXT_CHARACTERS)


def _marks(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_MARKS:
        raise ValueError(f"marks of 1 to {MAX_MARKS} are expected")
    return value


def _string(value: object, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ValueError(f"a text of 1 to {longest} characters is expected")
    return value
