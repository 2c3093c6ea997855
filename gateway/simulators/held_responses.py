"""Responses that are held back: for those of other segments, or to leave in another order."""

import asyncio
from collections.abc import Hashable

from gateway.simulators.rules import Rule, SubmitReaction
from gateway.simulators.smsc_session import Session
from gateway.simulators.submission import Submitted

REORDER_TIMEOUT_SECONDS = 0.2
"""How long a held response waits for others to be reordered with."""

_Response = tuple[Session, Submitted, SubmitReaction]


class HeldResponses:
    """Sends the responses to submit_sm, those that have to wait for others included."""

    def __init__(self) -> None:
        self._reordered: dict[Rule, list[_Response]] = {}
        self._of_texts: dict[Hashable, list[_Response]] = {}

    def send(
        self,
        session: Session,
        submit: Submitted,
        reaction: SubmitReaction,
        rule: Rule | None,
        *,
        until_whole: bool,
    ) -> None:
        """Sends the response, or holds it for the rule's `reorder` or until the text is whole."""
        if rule and reaction.reorder:
            self._reorder(rule, (session, submit, reaction))
        elif until_whole and submit.reference is not None:
            self._hold_until_whole((session, submit, reaction))
        else:
            session.respond(submit, reaction)

    def _reorder(self, rule: Rule, response: _Response) -> None:
        held = self._reordered.setdefault(rule, [])
        held.append(response)
        if len(held) >= response[2].reorder:
            self._release(rule)
        elif len(held) == 1:
            asyncio.get_running_loop().call_later(REORDER_TIMEOUT_SECONDS, self._release, rule)

    def _release(self, rule: Rule) -> None:
        for session, submit, reaction in reversed(self._reordered.pop(rule, [])):
            session.respond(submit, reaction)

    def _hold_until_whole(self, response: _Response) -> None:
        session, submit, _ = response
        key = (session, submit.destination, submit.source, submit.reference, submit.total)
        held = self._of_texts.setdefault(key, [])
        held.append(response)
        if len({submit.number for _, submit, _ in held}) == submit.total:
            for _, segment, reaction in self._of_texts.pop(key):
                session.respond(segment, reaction)
