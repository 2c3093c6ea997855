"""Checks of single fields: which texts are valid, and which names of unknown fields are repeated."""

import pytest

from gateway.intake.fields import Code, text_fault, unknown_fields


@pytest.mark.parametrize(
    ("value", "fault", "printable"),
    [
        ("r-1", None, None),
        ("x" * 64, None, None),
        ("a\u00a0b", None, Code.FORMAT),  # a space that str.isprintable does not take for printable
        ("a\u200bb", None, Code.FORMAT),
        ("a\x1bb", Code.FORMAT, Code.FORMAT),
        ("a\x85b", Code.FORMAT, Code.FORMAT),
        ("a\u2028b", Code.FORMAT, Code.FORMAT),
        ("a\udcffb", Code.FORMAT, Code.FORMAT),
        ("", Code.LENGTH, Code.LENGTH),
        ("x" * 65, Code.LENGTH, Code.LENGTH),
        (7, Code.TYPE, Code.TYPE),
        (True, Code.TYPE, Code.TYPE),
        (None, Code.REQUIRED, Code.REQUIRED),
    ],
)
def test_a_text_has_a_length_and_no_control_characters(
    value: object, fault: Code | None, printable: Code | None
) -> None:
    assert text_fault(value, 64) == fault
    assert text_fault(value, 64, printable=True) == printable


def test_unknown_fields_are_named_unless_their_name_cannot_be_shown() -> None:
    given = {"known": 1, "a/b~c": 2, "x" * 64: 3, "x" * 65: 4, "bell\x07": 5, "": 6}
    assert list(unknown_fields(given, frozenset(("known",)), "/pupil")) == [
        "/pupil/a~1b~0c",
        f"/pupil/{'x' * 64}",
        "/pupil",
        "/pupil/",
    ]
