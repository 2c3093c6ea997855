"""How the links are shared out among the processes, so that each holds about the same number.

Every process decides for itself, by the same rows and the same rules: it releases links beyond its share. A link
that nobody holds is claimed by the process with the fewest links. A link moves only if that makes two processes
more equal: with L links that all of N processes want, each ends with L/N of them, rounded up or down, and then
none moves any more.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

Wants = Mapping[str, Collection[str]]
"""The links that each process would hold: its configured ones, none while it stops."""
Holders = Mapping[str, str | None]
"""The process that holds each link."""


class Share(NamedTuple):
    """What this process does about its links now."""

    claim: frozenset[str]
    release: frozenset[str]


class Sharing:
    """The share of one process, over its heartbeats on one connection. Instants are monotonic seconds."""

    def __init__(self, node: str, *, settle_seconds: float, unheld_seconds: float) -> None:
        """A link is released once it is too many for `settle_seconds`.

        One without a holder for `unheld_seconds` is claimed beyond the share: the process due to claim it cannot.
        """
        self._node = node
        self._settle_seconds = settle_seconds
        self._unheld_seconds = unheld_seconds
        self._unheld_since: dict[str, float] = {}
        self._surplus_since: dict[str, float] = {}

    def decide(self, now: float, wants: Wants, holders: Holders, running: Collection[str]) -> Share:
        """The share now. `wants` has this process and those that may be given links; `running` are its links."""
        targets = share_out(wants, holders)
        wanted = wants[self._node]
        unheld = [link for link in wanted if link in holders and holders[link] is None]
        self._unheld_since = {link: self._unheld_since.get(link, now) for link in unheld}
        claimable = [
            link
            for link, since in self._unheld_since.items()
            if targets[link] == self._node or now - since >= self._unheld_seconds
        ]
        # The commit of an earlier claim was not confirmed.
        unstarted = [link for link in wanted if holders.get(link) == self._node and link not in running]
        surplus = [link for link in running if holders.get(link) == self._node != targets[link]]
        self._surplus_since = {link: self._surplus_since.get(link, now) for link in surplus}
        settled = (link for link, since in self._surplus_since.items() if now - since >= self._settle_seconds)
        return Share(frozenset([*claimable, *unstarted]), frozenset(settled))


def share_out(wants: Wants, holders: Holders) -> dict[str, str]:
    """By link the process that is to hold it. Without a link that nobody holds and nobody wants.

    A link stays where it is if its holder wants it or is not in `wants` (its heartbeats are not seen to go on).
    """
    targets: dict[str, str] = {}
    unassigned = []
    for link, holder in sorted(holders.items()):
        if holder is not None and (holder not in wants or link in wants[holder]):
            targets[link] = holder
        else:
            unassigned.append(link)
    counts = Counter(dict.fromkeys(wants, 0))
    counts.update(node for node in targets.values() if node in wants)
    for link in unassigned:
        candidates = [node for node in wants if link in wants[node]]
        holder = holders[link]
        if candidates:
            node = targets[link] = min(candidates, key=lambda node: (counts[node], node))
            counts[node] += 1
        elif holder is not None:
            targets[link] = holder
    while (move := _next_move(wants, targets, counts)) is not None:
        link, node = move
        counts[targets[link]] -= 1
        counts[node] += 1
        targets[link] = node
    return targets


def _next_move(wants: Wants, targets: Mapping[str, str], counts: Counter[str]) -> tuple[str, str] | None:
    """A link, and a process that wants it and has at least two links fewer than the one that has it now."""
    for most in sorted(wants, key=lambda node: (-counts[node], node)):
        links = sorted(link for link, node in targets.items() if node == most)
        for fewest in sorted(wants, key=lambda node: (counts[node], node)):
            if counts[most] - counts[fewest] < 2:
                break
            if (link := next((link for link in links if link in wants[fewest]), None)) is not None:
                return link, fewest
    return None
