"""docs/reference: log-fields.md, statuses.md and error-codes.md are drawn from the enumerations of the code."""

import code_pages
import pytest

from gateway.consent.events import STATUSES
from gateway.intake.fields import Code
from tests.docs.test_reference_pages import rows


@pytest.mark.parametrize("name", code_pages.pages())
def test_a_reference_page_is_generated_from_the_current_code(name: str) -> None:
    current = (code_pages.FOLDER / name).read_text(encoding="utf-8")
    assert current == code_pages.pages()[name], "run scripts/diagrams"


@pytest.mark.parametrize("name", code_pages.pages())
def test_every_row_of_a_reference_page_has_its_meaning(name: str) -> None:
    assert [member for member, cells in rows(name).items() if not all(cells)] == []


def test_reference_pages_have_every_status_and_error_code() -> None:
    assert rows("statuses.md").keys() == set(STATUSES)
    assert {*map(str, Code), "empty", "rewound", "no_voucher", "507"} <= rows("error-codes.md").keys()
