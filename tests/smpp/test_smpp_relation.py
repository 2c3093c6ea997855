"""The relation of receipts' message_ids to those of responses, as it is learnt."""

import pytest

from gateway.smpp.receipt import IdRelation
from gateway.smpp.relation import decided, response_ids, vote


@pytest.mark.parametrize(
    ("receipt_id", "relation", "expected"),
    [
        ("10", "exact", ["10"]),
        ("10", "hex-to-dec", ["a"]),
        ("10", "dec-to-hex", ["16"]),
        ("10", "auto", ["10", "16", "a"]),
        ("7", "auto", ["7"]),
        ("7f-1", "auto", ["7f-1"]),
    ],
)
def test_a_receipts_id_has_the_response_ids_of_its_relation(
    receipt_id: str, relation: IdRelation, expected: list[str]
) -> None:
    assert response_ids(receipt_id, relation) == expected


@pytest.mark.parametrize(
    ("receipt_id", "response_id", "relation"),
    [
        ("10", "10", "exact"),
        ("0010", "10", "exact"),
        ("10", "a", "hex-to-dec"),
        ("10", "16", "dec-to-hex"),
        ("AB", "171", "dec-to-hex"),
        ("ab", "ab", "exact"),
        ("7", "7", None),  # the same in every relation
        ("7f-1", "7f-1", None),
        ("10", "11", None),
    ],
)
def test_a_receipt_is_a_vote_for_the_only_relation_that_fits(
    receipt_id: str, response_id: str, relation: IdRelation | None
) -> None:
    assert vote(receipt_id, response_id) == relation


@pytest.mark.parametrize(
    ("votes", "relation"),
    [
        ((0, 0, 0), None),
        ((2, 0, 0), None),
        ((3, 0, 0), "exact"),
        ((0, 3, 0), "hex-to-dec"),
        ((1, 0, 3), None),
        ((1, 0, 4), "dec-to-hex"),
        ((1, 4, 1), None),
        ((1, 5, 1), "hex-to-dec"),
    ],
)
def test_a_relation_is_decided_when_it_leads_by_three_votes(
    votes: tuple[int, int, int], relation: IdRelation | None
) -> None:
    exact, hex_to_dec, dec_to_hex = votes
    assert decided({"exact": exact, "hex-to-dec": hex_to_dec, "dec-to-hex": dec_to_hex}) == relation
