"""docs/architecture shows the tables that the gateway executes. No graphviz is needed to check it."""

import xml.etree.ElementTree as ET

import pytest
from diagrams import ANY_STATE, FOLDER, TABLES, Table, digest_comment, dot, edges, files, markdown

each_table = pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])

EXAMPLE = Table(
    name="example",
    title='An "example"',
    code="none",
    rows=(
        ("open", "close", "shut", "", "§1"),
        ("open", "slam", "shut", "noise", "§1"),
        ("open", "burn", "gone", "", "§3"),
        ("shut", "burn", "gone", "", "§3"),
        ("ajar", "burn", "gone", "", "§3"),
        ("shut", "unlock", "open", "", "§3"),
        ("ajar", "push", "open", "", "§3"),
        ("shut", "knock", "shut", "noise | echo", "§2"),
        ("gone", "knock", "gone", "noise | echo", "§2"),
    ),
)


@each_table
def test_the_pages_and_dot_files_are_what_the_tables_give(table: Table) -> None:
    for name, text in files(table).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run scripts/diagrams"


@each_table
def test_each_svg_was_drawn_from_the_dot_file_beside_it(table: Table) -> None:
    svg = (FOLDER / f"{table.name}.svg").read_text(encoding="utf-8")
    assert digest_comment((FOLDER / f"{table.name}.dot").read_text(encoding="utf-8")) in svg, (
        "run scripts/diagrams"
    )
    shown = set(ET.fromstring(svg).itertext())
    assert {state for edge in edges(table.rows) for state in (edge.state, edge.next_state)} <= shown


def test_inputs_of_one_change_of_state_share_an_edge_and_unchanged_states_have_none() -> None:
    assert edges(EXAMPLE.rows) == [
        ("open", "shut", ("close", "slam")),
        (ANY_STATE, "gone", ("burn",)),
        ("shut", "open", ("unlock",)),
        ("ajar", "open", ("push",)),
    ]


def test_dot_text_quotes_what_dot_reads_as_syntax_and_marks_final_states() -> None:
    text = dot(EXAMPLE)
    assert 'label="An \\"example\\"";' in text
    assert '    "open";\n' in text
    assert '    "gone" [peripheries=2];\n' in text
    assert '"open" -> "shut" [label="close\\lslam\\l"];' in text
    assert '"any other state" -> "gone" [label="burn"];' in text


def test_a_page_has_one_row_for_states_with_the_same_effect() -> None:
    page = markdown(EXAMPLE)
    assert "| open | close | shut | none | §1 |" in page
    assert "| shut, gone | knock | unchanged | noise \\| echo | §2 |" in page
