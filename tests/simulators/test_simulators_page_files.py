"""The files of the simulators' page: what they may contain, and their words in three languages."""

import ast
import json
import re
from pathlib import Path

import pytest

from gateway.consent.events import STATUSES
from gateway.demo import visit
from gateway.pages import page_files
from gateway.simulators import playground
from gateway.simulators.playground.rejected import Rejection
from gateway.simulators.playground.server import FOLDER
from gateway.simulators.playground.vouchers import Verdict

FILES = {name: file.octets.decode() for name, file in page_files(FOLDER).items()}
PAGE = FILES["index.html"]
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
ENTRY = re.compile(r"^  (\w+): (\[.*\]),$", re.MULTILINE)
WORDS: dict[str, list[str]] = {key: json.loads(texts) for key, texts in ENTRY.findall(SCRIPTS["words.js"])}
COMMENTS = re.compile(r"/\*[\s\S]*?\*/|^\s*//.*$|\s// .*$", re.MULTILINE)
CODE = {name: COMMENTS.sub("", text) for name, text in SCRIPTS.items() if name != "words.js"}
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`')
TWO_WORDS = re.compile("[A-Za-z]{2,} [A-Za-z]{2,}")
PLACES = re.compile(r"\{(\w+)\}")
NAMED = {
    *(f"status_{status}" for status in STATUSES), *(f"verdict_{verdict}" for verdict in Verdict),
    *(f"rejected_{rejection}" for rejection in Rejection),
    *(f"{kind}_{state}" for kind in ("voucher", "history") for state in ("formed", "activated", "used")),
    *(f"relation_{relation}" for relation in ("mother", "father", "representative")),
    *(f"partner_{partner}" for partner in ("mcb", "wallet", "sdu")),
    "means_code", "means_card", "text_request", "text_repeat",
}  # fmt: skip
"""The words of names that the simulators send."""


def test_the_simulators_page_has_no_foreign_url_and_no_inline_script() -> None:
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", PAGE) == []
    for name, text in FILES.items():
        assert re.findall(r"https?://(?!www\.w3\.org/)|data:[^-]", text) == [], name


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_the_simulators_page_never_turn_data_into_markup(name: str) -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\("
    assert re.findall(sinks, SCRIPTS[name]) == []


def test_all_files_and_ids_that_the_simulators_page_refers_to_exist() -> None:
    named = re.findall(r'(?:href|src)="page/([^"]+)"', PAGE)
    named += [name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert {*named} == FILES.keys() - {"index.html"}
    ids = set(re.findall(r'\sid="([^"]+)"', PAGE))
    made = {name for text in SCRIPTS.values() for name in re.findall(r'\bid: "([^"]+)"', text)}
    assert {name for text in SCRIPTS.values() for name in re.findall(r'byId\("([^"]+)"\)', text)} <= ids | made


def test_all_words_of_the_simulators_page_exist_in_three_languages_with_the_same_places_to_fill() -> None:
    assert len(WORDS) == len(re.findall(r"^  \w+:", SCRIPTS["words.js"], re.MULTILINE))
    for key, texts in WORDS.items():
        assert [bool(text.strip()) for text in texts] == [True] * 3, key
        english, *others = [set(PLACES.findall(text)) for text in texts]
        assert others == [english] * 2, key
    assert [len(text.split()) for key in ("weekdays", "months") for text in WORDS[key]] == [7] * 3 + [12] * 3


def test_the_simulators_page_has_words_for_whatever_it_names_and_no_others() -> None:
    code = "".join(CODE.values())
    wanted = set(re.findall(r'\bt\("(\w+)"', code)) | set(re.findall(r'data-t(?:-label)?="(\w+)"', PAGE))
    wanted |= {key for pair in re.findall(r'\bt\(\w+ \? "(\w+)" : "(\w+)"\)', code) for key in pair}
    assert WORDS.keys() == wanted | NAMED


def test_the_simulators_page_shows_no_text_but_its_words() -> None:
    markup = re.sub(r"<noscript>.*?</noscript>", "", PAGE, flags=re.DOTALL)
    texts = {text.strip() for text in re.findall(r">([^<]+)<", markup)} - {""}
    assert texts == {WORDS["title"][0], "3#1", "3#2"}
    assert re.findall(r'\s(?:aria-label|title|placeholder|alt)="', markup) == []
    for name, code in CODE.items():
        literals = re.sub(r"\$\{[^{}]*\}", "", code)
        attributes = r'(?:textContent = |"aria-label": |\btitle: |\}, )["`][^"`]*[A-Za-z]'
        assert re.findall(attributes, literals) == [], name
        prose = [one for pair in LITERAL.findall(literals) for one in pair if TWO_WORDS.search(one)]
        assert prose == [], name


def test_each_rejection_of_an_act_gives_what_its_sentence_names() -> None:
    raised = set()
    for file in (*Path(playground.__path__[0]).glob("*.py"), Path(visit.__file__)):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="RejectedAct"), args=[ast.Attribute(attr=name)], keywords=keywords):
                    raised.add(name)
                    places = set(PLACES.findall(WORDS[f"rejected_{Rejection[name]}"][0]))
                    assert {keyword.arg for keyword in keywords} == places, name
    assert raised == set(Rejection.__members__)
