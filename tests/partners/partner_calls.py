"""One call of each partner's client, and what it means for the cases: the same words for all of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import aiohttp

from gateway.config.model import Mcb as McbConfig
from gateway.config.model import Sdu as SduConfig
from gateway.config.model import Wallet as WalletConfig
from gateway.config.timezones import load_timezone
from gateway.consent.case import Case, State
from gateway.consent.deadlines import Calendar
from gateway.consent.inputs import Input, IssueVoucher, RejectVoucher, SkipRecipient, UseNumber
from gateway.partners.mcb import Mcb
from gateway.partners.responses import FailureKind, Invalid, Outcome, Retry, Unavailable
from gateway.partners.sdu import SduClient
from gateway.partners.wallet import Wallet
from gateway.simulators.sdu import new_secret
from gateway.store.cases import StoredCase
from gateway.store.rewinds import Head
from tests.record_factories import MOTHER, PUPILS, person

TIMEOUT = timedelta(seconds=30)
TOKEN = "token-of-the-partner"
CALENDAR = Calendar(
    timezone=load_timezone("Asia/Almaty"),
    answer_days=3,
    grace=timedelta(minutes=10),
    window_opens=timedelta(hours=9),
    window_closes=timedelta(hours=21),
)
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


class Partner(StrEnum):
    """Whose client is called; the MCB's has two kinds of request."""

    MCB = "mcb"
    MCB_BATCH = "mcb batch"
    WALLET = "wallet"
    SDU = "sdu"


class Meaning(StrEnum):
    """What a call means for one case, or for the batch of statuses."""

    RETRIED = "retried"
    PAUSED = "the partner is paused, and the call retried"
    TOO_LARGE = "made again with fewer records"
    INVALID = "parked, unless it is one of many in a row"
    NUMBER = "number"
    NO_NUMBER = "no number"
    ISSUED = "issued"
    REJECTED = "rejected"
    TAKEN = "taken"


PATHS = {
    Partner.MCB: "/v1/lookup",
    Partner.MCB_BATCH: "/v1/lookups",
    Partner.WALLET: "/v1/vouchers",
    Partner.SDU: "/v1/statuses",
}
SUCCESS = {
    Partner.MCB: b'{"found": true, "msisdn": "+77011234567"}',
    Partner.MCB_BATCH: b'{"results": [{"iin": "%s", "found": false}, {"iin": "%s", "found": false}]}'
    % (MOTHER.encode(), PUPILS[0].encode()),
    Partner.WALLET: b'{"voucher_id": "V-1"}',
    Partner.SDU: b"",
}
MEANING_OF_SUCCESS = {
    Partner.MCB: Meaning.NUMBER,
    Partner.MCB_BATCH: Meaning.NO_NUMBER,
    Partner.WALLET: Meaning.ISSUED,
    Partner.SDU: Meaning.TAKEN,
}
_MEANINGS: dict[type[Input], Meaning] = {
    UseNumber: Meaning.NUMBER,
    SkipRecipient: Meaning.NO_NUMBER,
    IssueVoucher: Meaning.ISSUED,
    RejectVoucher: Meaning.REJECTED,
}


def stored(case_id: str = "01KAN000000000000000000001", iin: str = MOTHER) -> StoredCase:
    """A consented case whose recipient has that IIN."""
    case = Case(
        state=State.CONSENTED, relations=("mother",), msisdn="77011234567", answered_at=NOW, evidence="sha256:00"
    )
    recipient = {"relation": "mother", **person(iin, 1, "ова")}
    return StoredCase(
        case_id=case_id,
        list_id="list-1",
        record_id=case_id,
        service="3",
        category=1,
        language="kk",
        pupil_iin=PUPILS[0],
        record={"pupil": person(PUPILS[0]), "recipients": [recipient]},
        opened_at=NOW,
        case=case,
    )


CASES = (stored("01KAN000000000000000000001", MOTHER), stored("01KAN000000000000000000002", PUPILS[0]))
"""A batch of the MCB; other clients are called for the first alone."""


async def call(
    partner: Partner, http: aiohttp.ClientSession, url: str, *, within: timedelta = TIMEOUT, body: bytes = b"{}"
) -> list[Meaning]:
    """What one call means; `body` is SDU's request."""
    if partner is Partner.SDU:
        unavailable = await push(http, url, within=within, body=body)
        return [Meaning.TAKEN if unavailable is None else _meaning_of_failure(unavailable.kind)]
    return [meaning(outcome) for outcome in await outcomes(partner, http, url, within=within)]


async def push(
    http: aiohttp.ClientSession, url: str, *, within: timedelta = TIMEOUT, body: bytes = b"{}"
) -> Unavailable | None:
    """One push to SDU."""
    config = SduConfig(url=url, token=TOKEN, signing_secret=new_secret(), batch=500)
    return await SduClient(http, config, timeout=aiohttp.ClientTimeout(total=within.total_seconds())).post(
        body, Head(1, b"")
    )


async def outcomes(
    partner: Partner,
    http: aiohttp.ClientSession,
    url: str,
    *,
    within: timedelta = TIMEOUT,
    cases: Sequence[StoredCase] = CASES,
) -> list[Outcome]:
    """The outcomes of one call of the MCB or the wallet; a client without batches is called for the first case."""
    if partner is Partner.WALLET:
        wallet = WalletConfig(url=url, token=TOKEN, concurrency=1, timeout=within)
        return await Wallet(http, wallet, CALENDAR).call(cases[:1])
    batch = len(cases) if partner is Partner.MCB_BATCH else 1
    mcb = McbConfig(url=url, token=TOKEN, batch=batch, concurrency=1, timeout=within)
    return await Mcb(http, mcb).call(cases[:batch])


def meaning(outcome: Outcome) -> Meaning:
    """What an outcome means for its case."""
    match outcome:
        case Retry():
            return _meaning_of_failure(outcome.kind)
        case Invalid():
            return Meaning.INVALID
    return _MEANINGS[type(outcome.given)]


def _meaning_of_failure(kind: FailureKind) -> Meaning:
    match kind:
        case FailureKind.OUTAGE:
            return Meaning.RETRIED
        case FailureKind.INVALID:
            return Meaning.INVALID
        case FailureKind.TOO_LARGE:
            return Meaning.TOO_LARGE
        case FailureKind.CREDENTIALS | FailureKind.ADDRESS:
            return Meaning.PAUSED
