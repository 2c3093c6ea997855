"""The page for ops: its files, its security headers, and its requests."""

import json
import re

import pytest

from gateway.api.alerts import Code
from gateway.api.console import FOLDER, HEADERS
from gateway.api.sentences import SENTENCES
from gateway.consent.events import EventType
from gateway.consent.reply import Verdict
from gateway.pages import page_files
from gateway.store import figures
from gateway.store.sms import SmsState
from tests.api.apiclient import DOCUMENT, Api

FILES = {name: file.octets.decode() for name, file in page_files(FOLDER).items()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
PAGE = FILES["index.html"]
POLICY = dict(directive.split(" ", 1) for directive in HEADERS["Content-Security-Policy"].split("; "))

FOREIGN_URL = re.compile(r"(?:https?:)?//[\w.]|data:|blob:")
XML_NAMES = re.compile(r"http://www\.w3\.org/\d+/svg")
WORDS: dict[str, list[str]] = {
    key: json.loads(texts) for key, texts in re.findall(r"^  (\w+): (\[.*\]),$", SCRIPTS["words.js"], re.MULTILINE)
}
COMMENTS = re.compile(r"^\s*//.*$|\s// .*$", re.MULTILINE)
OPTIONAL = "v1/cases/search"
CALLS = re.compile(r'call\(\s*"(\w+)",\s*["`](v1/[^"`]+)["`]')


async def test_the_console_page_needs_no_token(api: Api) -> None:
    response = await api.call("GET", "/console")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.body.decode() == PAGE


@pytest.mark.parametrize("name", FILES)
async def test_every_console_file_has_its_content_type_and_the_security_headers(api: Api, name: str) -> None:
    response = await api.call("GET", f"/console/{name}")
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert response.status == 200
    assert response.headers["Content-Type"].startswith(types[name.partition(".")[2]])
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("name", ["", "nothing.js", "..%2Fapp.py", "%2e%2e/app.py", "__init__.py", "console.js/"])
async def test_no_other_file_is_served_under_console(api: Api, name: str) -> None:
    assert (await api.call("GET", f"/console/{name}")).status == 404


def test_the_content_security_policy_allows_only_the_own_server() -> None:
    assert POLICY["default-src"] == "'none'"
    sources = {name: value for name, value in POLICY.items() if name.endswith("-src") and name != "default-src"}
    assert sources == dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'")
    assert [POLICY[name] for name in ("base-uri", "form-action", "frame-ancestors")] == ["'none'"] * 3
    assert (HEADERS["X-Content-Type-Options"], HEADERS["Referrer-Policy"]) == ("nosniff", "no-referrer")


@pytest.mark.parametrize("name", FILES)
def test_no_console_file_contains_a_foreign_url(name: str) -> None:
    text = COMMENTS.sub("", FILES[name]) if name in SCRIPTS else FILES[name]
    assert FOREIGN_URL.findall(XML_NAMES.sub("", text)) == []


def test_the_console_page_has_no_inline_script_or_style() -> None:
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", PAGE) == []
    assert [body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", PAGE, re.DOTALL)] == [""]


@pytest.mark.parametrize("name", SCRIPTS)
def test_console_scripts_never_turn_data_into_markup_or_code(name: str) -> None:
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\(|localStorage|cookie"
    )
    assert re.findall(sinks, SCRIPTS[name]) == []


def test_all_files_and_ids_that_the_console_refers_to_exist() -> None:
    from_page = re.findall(r'(?:href|src)="console/([^"]+)"', PAGE)
    from_scripts = [name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert {*from_page, *from_scripts} == FILES.keys() - {"index.html"}
    ids = set(re.findall(r'\sid="([^"]+)"', PAGE))
    made = {name for text in SCRIPTS.values() for name in re.findall(r'\bid: "([^"]+)"', text)}
    wanted = {name for text in SCRIPTS.values() for name in re.findall(r'byId\("([^"]+)"\)', text)}
    assert wanted <= ids | made


def test_all_words_of_the_console_exist_in_three_languages_with_the_same_places_to_fill() -> None:
    assert len(WORDS) == len(re.findall(r"^  \w+: \[", SCRIPTS["words.js"], re.MULTILINE))
    for key, texts in WORDS.items():
        assert [bool(text.strip()) for text in texts] == [True] * 3, key
        english, *others = [set(re.findall(r"\{(\w+)\}", text)) for text in texts]
        assert others == [english] * 2, key


def test_the_english_sentences_of_the_consoles_alerts_are_the_gateways() -> None:
    assert {key[5:]: texts[0] for key, texts in WORDS.items() if key.startswith("says_")} == SENTENCES


def test_the_console_has_words_for_whatever_it_names() -> None:
    scripts = "".join(text for name, text in SCRIPTS.items() if name != "words.js")
    wanted = set(re.findall(r'\b(?:t|phrase|button)\("(\w+)"', scripts))
    wanted |= set(re.findall(r'data-t(?:-label)?="(\w+)"', PAGE))
    wanted |= {f"event_{event}" for event in EventType}
    wanted |= {f"{kind}_{code}" for code in Code for kind in ("alert", "do")}
    wanted |= {f"says_{key}" for key in SENTENCES}
    wanted |= {f"state_{state}" for state in DOCUMENT["components"]["schemas"]["State"]["enum"]}
    wanted |= {f"stage_{stage}" for stage in ("received", *figures.STAGES)}
    wanted |= {f"verdict_{verdict}" for verdict in Verdict} | {f"text_{state}" for state in SmsState}
    assert wanted <= WORDS.keys()


def test_every_request_of_the_console_is_in_openapi_json_with_role_ops() -> None:
    calls = [(method, path) for text in SCRIPTS.values() for method, path in CALLS.findall(text)]
    assert len(calls) == len(re.findall(r'(?<!function )\bcall\((?!"GET", "openapi.json")', FILES["api.js"]))
    calls.append(("GET", "v1/overview/stream"))
    for method, path in calls:
        if path == OPTIONAL and f"/{path}" not in DOCUMENT["paths"]:
            continue  # the page asks the document, too
        template = "/" + re.sub(r"\$\{\w+\((\w+)\)\}", lambda m: "{link}" if m[1] == "link" else "{case_id}", path)
        operation = DOCUMENT["paths"][template][method.lower()]
        assert re.search(r"Roles: .*\bops\b", operation["description"]), template
    assert "fetch(" not in "".join(text for name, text in SCRIPTS.items() if name != "api.js")


def test_the_console_acts_only_after_a_confirmation() -> None:
    acts = SCRIPTS["acts.js"]
    for act in ("release", "cancel", "resend", "acceptReply", "releaseMany", "bindNow"):
        assert re.search(rf"\bapi\.{act}\(", acts), act
        assert not re.search(
            rf"\bapi\.{act}\(", "".join(text for name, text in SCRIPTS.items() if name != "acts.js")
        )
    functions = re.findall(r"export function ask(\w+)\(.*?\) \{\n  ask\(", acts)
    assert functions == ["Release", "Cancel", "Resend", "AcceptReply", "ReleaseAll", "BindNow"]


def test_the_console_shows_only_fields_of_the_overview_and_as_many_columns_of_a_link_as_it_names() -> None:
    links = re.search(r"\nfunction links\(.*?\n\}", SCRIPTS["board.js"], re.DOTALL)
    assert links is not None
    fields = DOCUMENT["components"]["schemas"]["OverviewLink"]["properties"]
    shown = set(re.findall(r"\blink\.(\w+)", links[0]))
    assert {"send_window", "counted", "bound"} <= shown <= fields.keys()
    row = re.search(r"return \[\n(.*?)\n    \];", links[0], re.DOTALL)
    columns = re.search(r"const columns = \[(.*?)\];", links[0], re.DOTALL)
    assert row is not None
    assert columns is not None
    cells = re.findall(r"^      [^\s\]]", row[1], re.MULTILINE)
    assert len(cells) == len(re.findall(r't\("\w+"\)', columns[1]))


def test_the_console_has_a_colour_for_every_state() -> None:
    styles = FILES["console.css"] + FILES["parts.css"]
    colours = set(re.findall(r"^\s*--([a-z_-]+): #", styles, re.MULTILINE))
    assert {f"verdict-{verdict}" for verdict in Verdict} <= colours
    assert set(DOCUMENT["components"]["schemas"]["State"]["enum"]) <= colours
