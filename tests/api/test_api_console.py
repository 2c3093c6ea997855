"""The page for ops: nothing in it but the page, nothing from elsewhere, and what it asks for is there."""

import re

import pytest

from gateway.api.console import FOLDER, HEADERS
from tests.api.apiclient import DOCUMENT, Api

FILES = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
PAGE = FILES["index.html"]
POLICY = dict(directive.split(" ", 1) for directive in HEADERS["Content-Security-Policy"].split("; "))

ELSEWHERE = re.compile(r"(?:https?:)?//[\w.]|data:|blob:")
XML_NAMES = re.compile(r"http://www\.w3\.org/\d+/svg")
COMMENTS = re.compile(r"^\s*//.*$|\s// .*$", re.MULTILINE)
CALLS = re.compile(r'call\(\s*"(\w+)",\s*["`](v1/[^"`]+)["`]')


async def test_anybody_gets_the_page_and_nothing_of_it_asks_for_a_token(api: Api) -> None:
    answer = await api.call("GET", "/console")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.decode() == PAGE


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_as_what_it_is_and_under_the_strict_headers(api: Api, name: str) -> None:
    answer = await api.call("GET", f"/console/{name}")
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(types[name.partition(".")[2]])
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("name", ["", "nothing.js", "..%2Fapp.py", "%2e%2e/app.py", "__init__.py", "console.js/"])
async def test_nothing_else_is_served(api: Api, name: str) -> None:
    assert (await api.call("GET", f"/console/{name}")).status == 404


def test_the_page_may_load_and_ask_its_own_server_only() -> None:
    assert POLICY["default-src"] == "'none'"
    sources = {name: value for name, value in POLICY.items() if name.endswith("-src") and name != "default-src"}
    assert sources == dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'")
    assert [POLICY[name] for name in ("base-uri", "form-action", "frame-ancestors")] == ["'none'"] * 3
    assert (HEADERS["X-Content-Type-Options"], HEADERS["Referrer-Policy"]) == ("nosniff", "no-referrer")


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_an_address_elsewhere(name: str) -> None:
    text = COMMENTS.sub("", FILES[name]) if name in SCRIPTS else FILES[name]
    assert ELSEWHERE.findall(XML_NAMES.sub("", text)) == []


def test_the_page_holds_no_script_and_no_style_of_its_own() -> None:
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", PAGE) == []
    assert [body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", PAGE, re.DOTALL)] == [""]


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_the_server_says_never_becomes_markup_or_code(name: str) -> None:
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\(|localStorage|cookie"
    )
    assert re.findall(sinks, SCRIPTS[name]) == []


def test_what_the_files_refer_to_is_there() -> None:
    from_page = re.findall(r'(?:href|src)="console/([^"]+)"', PAGE)
    from_scripts = [name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert {*from_page, *from_scripts} == FILES.keys() - {"index.html"}
    ids = set(re.findall(r'\sid="([^"]+)"', PAGE))
    made = {name for text in SCRIPTS.values() for name in re.findall(r'\bid: "([^"]+)"', text)}
    wanted = {name for text in SCRIPTS.values() for name in re.findall(r'byId\("([^"]+)"\)', text)}
    assert wanted <= ids | made


def test_what_the_page_asks_for_is_in_the_document_and_open_to_ops() -> None:
    calls = [(method, path) for text in SCRIPTS.values() for method, path in CALLS.findall(text)]
    assert len(calls) == len(re.findall(r"(?<!function )\bcall\(", FILES["api.js"]))
    for method, path in calls:
        template = "/" + re.sub(r"\$\{[^}]+\}", "{case_id}", path)
        operation = DOCUMENT["paths"][template][method.lower()]
        assert re.search(r"Roles: .*\bops\b", operation["description"]), template
    assert "fetch(" not in "".join(text for name, text in SCRIPTS.items() if name != "api.js")


def test_the_states_it_colours_are_those_of_the_program() -> None:
    colours = set(re.findall(r"^\s*--([a-z_]+): #", FILES["console.css"], re.MULTILINE))
    assert set(DOCUMENT["components"]["schemas"]["State"]["enum"]) <= colours
