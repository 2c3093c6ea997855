"""docs/architecture/rooms shows the layers of the contract and the imports that the modules have."""

import pytest
import rooms
from diagrams import FOLDER, digest_comment
from rooms import Rooms

EXAMPLE = Rooms(
    layers=[["top"], ["left", "right"], ["base"]],
    imports={"top": ["left", "right", "base"], "left": ["base"], "right": [], "base": []},
)


@pytest.fixture(scope="module")
def found() -> Rooms:
    return rooms.rooms()


def test_the_page_and_the_picture_of_the_rooms_are_current(found: Rooms) -> None:
    for name, text in rooms.files(found).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run scripts/diagrams"


def test_the_picture_of_the_rooms_was_drawn_from_the_dot_file_beside_it() -> None:
    dot_text = (FOLDER / f"{rooms.NAME}.dot").read_text(encoding="utf-8")
    svg = (FOLDER / f"{rooms.NAME}.svg").read_text(encoding="utf-8")
    assert digest_comment(dot_text) in svg, "run scripts/diagrams"


def test_no_room_imports_one_that_stands_beside_or_above_it(found: Rooms) -> None:
    layer = {room: number for number, layer in enumerate(found.layers) for room in layer}
    assert all(layer[room] < layer[other] for room, imported in found.imports.items() for other in imported)


def test_the_picture_of_the_rooms_omits_an_import_that_a_longer_path_implies() -> None:
    assert list(rooms.arrows(EXAMPLE)) == [("top", "left"), ("top", "right"), ("left", "base")]


def test_the_size_of_every_room_is_counted(found: Rooms) -> None:
    sizes = {room: lines for room, modules, lines in rooms.sizes() if modules}
    assert sizes.keys() == found.imports.keys()
    assert all(lines > 0 for lines in sizes.values())
