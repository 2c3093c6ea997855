"""How links are shared out: what each process claims and releases, alone and while others come and go."""

from collections import Counter
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cluster.sharing import Share, Sharing, share_out

NODES = ["a", "b", "c", "d"]
LINKS = ["altel", "beeline", "izi", "kcell", "tele2", "ucell"]
NOTHING = Share(frozenset(), frozenset())

placements = st.dictionaries(st.sampled_from(LINKS), st.none() | st.sampled_from([*NODES, "silent"]))
wishes = st.dictionaries(st.sampled_from(NODES), st.sets(st.sampled_from(LINKS)), min_size=1)


@given(holders=placements, nodes=st.sets(st.sampled_from(NODES), min_size=1))
def test_of_links_that_all_want_each_gets_no_more_than_its_share(
    holders: dict[str, str | None], nodes: set[str]
) -> None:
    wants = dict.fromkeys(nodes, LINKS)
    targets = share_out(wants, holders)
    shared = [node for node in targets.values() if node in nodes]
    assert targets.keys() == holders.keys()
    assert max(Counter(shared).values(), default=0) <= -(-len(shared) // len(nodes))
    assert share_out(wants, {**holders, **targets}) == targets


@given(holders=placements, wants=wishes)
def test_no_link_goes_to_a_process_that_does_not_want_it_and_none_moves_twice(
    holders: dict[str, str | None], wants: dict[str, set[str]]
) -> None:
    targets = share_out(wants, holders)
    for link, holder in holders.items():
        willing: list[str | None] = [node for node, wanted in wants.items() if link in wanted]
        assert targets.get(link) in (willing or [holder]) or targets[link] == holder not in wants
    assert share_out(wants, {**holders, **targets}) == targets


@given(holders=placements, wants=wishes, links=st.permutations(LINKS))
def test_all_processes_come_to_the_same_result(
    holders: dict[str, str | None], wants: dict[str, set[str]], links: list[str]
) -> None:
    shuffled = {link: holders[link] for link in links if link in holders}
    assert share_out(dict(sorted(wants.items(), reverse=True)), shuffled) == share_out(wants, holders)


def sharing(node: str) -> Sharing:
    return Sharing(node, settle_seconds=2.0, unheld_seconds=5.0)


def test_the_only_process_claims_all_links_at_once() -> None:
    share = sharing("a").decide(0.0, {"a": LINKS}, dict.fromkeys(LINKS), ())
    assert share == Share(frozenset(LINKS), frozenset())


def test_links_unknown_to_this_process_are_left_alone() -> None:
    decide = sharing("a").decide
    for now in (0.0, 60.0):
        assert decide(now, {"a": ["kcell"]}, {"kcell": "a", "tele2": None, "izi": "silent"}, ["kcell"]) == NOTHING


def test_a_surplus_is_released_once_it_has_lasted() -> None:
    decide = sharing("a").decide
    wants, held = {"a": ["izi", "kcell"], "b": ["izi", "kcell"]}, {"izi": "a", "kcell": "a"}
    assert decide(0.0, wants, held, held) == NOTHING
    assert decide(2.0, wants, held, held) == Share(frozenset(), frozenset(["izi"]))


def test_a_surplus_of_a_moment_is_kept() -> None:
    decide = sharing("a").decide
    both, held = {"a": LINKS, "b": LINKS}, {"izi": "a", "kcell": "a"}
    assert decide(0.0, both, held, held) == NOTHING
    assert decide(1.0, {"a": LINKS}, held, held) == NOTHING
    assert decide(2.0, both, held, held) == NOTHING


def test_one_link_of_two_processes_does_not_move() -> None:
    decide = sharing("b").decide
    for now in (0.0, 10.0, 20.0):
        assert decide(now, {"a": ["kcell"], "b": ["kcell"]}, {"kcell": "b"}, ["kcell"]) == NOTHING


def test_a_link_that_another_process_should_claim_is_claimed_when_nobody_does() -> None:
    decide = sharing("a").decide
    wants = {"a": ["izi", "kcell"], "b": ["izi", "kcell"]}
    held = {"izi": None, "kcell": "a"}
    assert decide(0.0, wants, held, ["kcell"]) == decide(4.0, wants, held, ["kcell"]) == NOTHING
    assert decide(5.0, wants, held, ["kcell"]).claim == {"izi"}


def test_a_process_that_stops_counts_as_gone_and_claims_nothing() -> None:
    wants: dict[str, Collection[str]] = {"a": [], "b": LINKS}
    held = {"izi": "a", "kcell": None}
    assert sharing("b").decide(0.0, wants, held, ()).claim == {"kcell"}
    for now in (0.0, 60.0):
        assert sharing("a").decide(now, wants, held, ["izi"]).claim == set()


def test_a_link_whose_claim_was_committed_unseen_is_claimed_again() -> None:
    assert sharing("a").decide(0.0, {"a": ["kcell"]}, {"kcell": "a"}, ()).claim == {"kcell"}


class Cluster:
    """Processes that decide every two seconds, one after the other; a released link is free two seconds later."""

    def __init__(self) -> None:
        self.now = 0.0
        self.holders: dict[str, str | None] = dict.fromkeys(LINKS)
        self.processes: dict[str, Sharing] = {}
        self.moves = 0
        self.unheld_seconds = dict.fromkeys(LINKS, 0.0)
        self._draining: dict[str, float] = {}

    def join(self, node: str) -> None:
        self.processes[node] = sharing(node)

    def leave(self, node: str) -> None:
        del self.processes[node]
        self.holders = {link: None if holder == node else holder for link, holder in self.holders.items()}

    def run(self, seconds: float, wants: Mapping[str, Collection[str]] | None = None) -> None:
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            for link, released_at in list(self._draining.items()):
                if self.now >= released_at:
                    self.holders[link] = None
                    del self._draining[link]
            for node, process in self.processes.items():
                running = [link for link, holder in self.holders.items() if holder == node]
                known = {other: (wants or {}).get(other, LINKS) for other in self.processes}
                share = process.decide(self.now, known, self.holders, running)
                self.holders |= dict.fromkeys(share.claim, node)
                for link in share.release - self._draining.keys():
                    self._draining[link] = self.now + 2.0
                    self.moves += 1
            for link, holder in self.holders.items():
                self.unheld_seconds[link] = 0.0 if holder else self.unheld_seconds[link] + 2.0
                assert self.unheld_seconds[link] <= 6.0

    @property
    def counts(self) -> list[int]:
        return sorted(Counter(holder for holder in self.holders.values() if holder).values())


def test_a_process_that_joins_gets_its_share_and_nothing_moves_afterwards() -> None:
    cluster = Cluster()
    cluster.join("a")
    cluster.run(2)
    assert cluster.counts == [6]
    cluster.join("b")
    cluster.run(10)
    assert (cluster.counts, cluster.moves) == ([3, 3], 3)
    cluster.run(60)
    assert cluster.moves == 3


def test_links_move_only_as_far_as_needed_while_three_processes_are_restarted_in_turn() -> None:
    cluster = Cluster()
    for node in ("a1", "b1", "c1"):
        cluster.join(node)
    cluster.run(20)
    assert cluster.counts == [2, 2, 2]
    cluster.moves = 0
    for node in "abc":
        cluster.leave(f"{node}1")
        cluster.run(10)
        cluster.join(f"{node}2")
        cluster.run(20)
        assert cluster.counts == [2, 2, 2]
    assert cluster.moves == 6  # two for each process that comes back


@pytest.mark.parametrize("lost", NODES[:3])
def test_the_links_of_a_process_that_ends_are_shared_out_among_the_others(lost: str) -> None:
    cluster = Cluster()
    for node in NODES[:3]:
        cluster.join(node)
    cluster.run(20)
    cluster.leave(lost)
    cluster.run(4)
    assert cluster.counts == [3, 3]


def test_processes_with_different_links_hold_all_of_them() -> None:
    cluster = Cluster()
    cluster.join("a")
    cluster.join("b")
    cluster.run(20, {"a": LINKS[:4], "b": LINKS[3:]})
    assert None not in cluster.holders.values()
    assert cluster.counts == [3, 3]
