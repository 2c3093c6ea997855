"""How long a connection of a link waits before it tries to bind again; pure but for the jitter."""

from smpplib.consts import SMPP_ESME_RALYBND, SMPP_ESME_RBINDFAIL

from gateway.config.policy import LinkPolicy
from gateway.smpp.status import REFUSED_CREDENTIALS

_TO_SETTLE = REFUSED_CREDENTIALS | {SMPP_ESME_RBINDFAIL}
"""Refusals that somebody has to settle. ESME_RBINDFAIL: a denied host, one session too many, a stale bind."""


class BindWaits:
    """The waits of one connection since its last useful session.

    Refused credentials and all other failures are counted apart: an SMSC that was away says nothing about the
    password that it refuses afterwards, and a refusal shows that it is there again.
    """

    def __init__(self, policy: LinkPolicy) -> None:
        self._policy = policy
        self._refusals = 0
        self._failures = 0

    def after(
        self, refusal: int | None, *, bound_seconds: float = 0.0, accepted: int = 0, responsive: bool = True
    ) -> float:
        """Seconds until the next attempt, after a session or a bind that failed.

        `accepted` segments; `responsive`: the SMSC did not leave a full window without any response.
        """
        policy = self._policy
        if responsive and bound_seconds >= policy.useful_session_seconds:
            return self.after_session()
        if responsive and accepted >= policy.useful_session_segments:
            return self.after_short_session()
        return self.after_failure(refusal)

    def after_session(self) -> float:
        """Seconds until the next attempt, after a useful session; all failures before it are forgotten."""
        self._refusals = self._failures = 0
        return self._policy.reconnect.delay(0)

    def after_short_session(self) -> float:
        """Seconds until the next attempt, after a short session that sent texts: the wait does not grow."""
        self._failures = max(self._failures, 1)
        return self._policy.reconnect.delay(self._failures)

    def after_failure(self, command_status: int | None) -> float:
        """Seconds until the next attempt; `command_status` is that of a refused bind, None: no response to one."""
        if command_status in _TO_SETTLE:
            self._refusals, self._failures = self._refusals + 1, 0
            return self._policy.credentials.delay(self._refusals)
        self._failures += 1
        if command_status == SMPP_ESME_RALYBND:
            return self._policy.stale_session_seconds
        return self._policy.reconnect.delay(self._failures)
