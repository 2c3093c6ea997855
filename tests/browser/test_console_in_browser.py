"""The console in a browser: what it shows, searches and does, on a desktop and a telephone, in three languages."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from gateway import metrics
from gateway.api.alerts import as_noted
from gateway.api.app import serve_http
from gateway.components import Components, build
from gateway.config import Config, load
from gateway.config.policy import HttpPolicy, Policy
from gateway.consent.inputs import Park, UseNumber
from gateway.shells import apis_of, board_of
from gateway.simulators.configuration import config_toml
from gateway.store import alert_history
from gateway.store.database import Connection, Database
from tests.api.test_api_overview import every_alert
from tests.browser.conftest import TIMEOUT_MS, Picture, violations
from tests.record_factories import good

TOKENS = {"sdu": "sdu-token-of-tests", "wallet": "wallet-token-of-tests", "ops": "ops-token-of-tests"}
LINK = {"name": "kcell", "port": 2775, "password": "secret", "prefixes": ["701"], "default": True}
NETWORK = r"net::ERR_|503 \(Service Unavailable\)"
HOSTILE = '<img src=x onerror="document.title=1">'
TOO_MANY = {"title": "Service Unavailable", "status": 503, "detail": "16 consoles are open already"}
TELEPHONE = ViewportSize(width=390, height=844)
BROKEN_WORDS = """() => [...document.querySelectorAll('dialog[open] :is(dt, dd, strong, button, p)')]
    .filter((element) => {
        const longest = Math.max(0, ...element.innerText.split(/[\\s-]+/).map((word) => word.length));
        return longest > 1 && element.clientWidth > 0 && element.clientWidth < Math.min(longest, 12) * 4;
    }).map((element) => element.innerText)"""
"""What is so narrow that a word of it is cut into letters."""


class Console(NamedTuple):
    """The page of a gateway with two lists, a parked case and a link that is down."""

    page: Page
    url: str
    components: Components
    stop: Callable[[], Awaitable[None]]  # ends the gateway

    async def open(self, *, language: str = "en", hash_: str = "") -> Page:
        """The board, with ops logged in."""
        await self.page.add_init_script(f"sessionStorage.setItem('gateway-language', '{language}')")
        await self.page.goto(f"{self.url}/console{hash_}")
        await self.page.locator("#token").fill(TOKENS["ops"])
        await self.page.locator("#login button").click()
        await expect(self.page.locator("#funnel tbody tr")).to_have_count(14)
        await expect(self.page.locator("#history table")).to_have_count(1)
        return self.page


@pytest.fixture
async def console(database: Database, browser: Browser, tmp_path: Path) -> AsyncIterator[Console]:
    path = tmp_path / "config.toml"
    partner = {"url": "http://127.0.0.1:1", "token": "a-token-of-tests"}
    path.write_text(
        config_toml(http={"port": 0, "tokens": TOKENS}, mcb=partner, wallet=partner, links=[LINK]),
        encoding="utf-8",
    )
    config = load(path)
    components = await build(config, database, "node", Policy(http=HttpPolicy(stop_timeout_seconds=0.1)))
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(
            serve_http(config.http, apis_of(config, components), components.policy.http)
        )
        url = f"http://127.0.0.1:{port}"
        await _fill(config, components, url)
        page, errors = await browser.new_page(viewport={"width": 1280, "height": 900}), list[str]()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield Console(page, url, components, stack.aclose)
        await page.close()
        assert [error for error in errors if not re.search(NETWORK, error)] == []


async def _serve_search(page: Page) -> list[Any]:
    """Gives the page a gateway with the path of that search, which finds two cases; the bodies of its requests."""
    found = {
        "list_id": "list-1", "record_id": "r-1", "service": "3", "state": "asked", "relation": "mother",
        "opened_at": "2026-11-22T10:15:03+05:00", "msisdn": "+7701•••••67",
    }  # fmt: skip
    cases = [{**found, "case_id": f"01KAN0000000000000000000{n:02}"} for n in range(2)]
    bodies: list[Any] = []

    async def respond(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        await route.fulfill(json={"cases": cases, "indexing": True})

    await page.route("**/v1/cases/search", respond)
    await page.route("**/openapi.json", lambda route: route.fulfill(json={"paths": {"/v1/cases/search": {}}}))
    return bodies


async def _fill(config: Config, components: Components, url: str) -> None:
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {TOKENS['sdu']}"}) as session:
        await _push(session, "list-1", [good(1), good(2), good(3, record_id=HOSTILE)])
        await _push(session, "empty", [good(1)])  # a duplicate: the list has no case
    async with components.database.acquire() as connection:
        rows = await connection.fetch("SELECT case_id FROM cases ORDER BY record_id")
        await connection.execute("UPDATE links SET node = 'node', bind_failure = 'ESME_RBINDFAIL', bound = 0")
        await connection.execute("UPDATE links SET next_bind_at = clock_timestamp() + interval '1 hour'")
    first, hostile = rows[1]["case_id"], rows[0]["case_id"]
    await components.transactions.apply(
        [(first, UseNumber(msisdn="77011234567")), (hostile, Park(reason=HOSTILE))]
    )
    async with components.database.acquire() as connection:
        await _add_campaign(connection)
    await components.journal.seal()
    await components.figures.count()
    metrics.PARTNER_RESPONDED.labels("lookup").set_to_current_time()
    await board_of(config, components).note_alerts()


async def _add_campaign(connection: Connection) -> None:
    """A list of 120,000 cases on its third day, with the figures that were counted of it."""
    states = {"looking_up": 210, "queued": 1290, "asked": 49_500, "consented": 800, "voucher_issued": 56_180}
    ends = {"refused": 6_420, "no_number": 3_790, "undeliverable": 1_810}
    stages = {"number_found": 116_000, "asked": 114_710, "delivered": 112_040, "consented": 56_980, **ends}
    await connection.execute(
        """INSERT INTO lists (list_id, service, digest, records, accepted, duplicates, rejected, received_at)
           VALUES ('2026-11-22-a', '3', '', 120412, 120000, 380, 32, now() - interval '3 days')"""
    )
    progress = [("2026-11-22-a", state, number) for state, number in {**states, **ends}.items()]
    await connection.executemany("INSERT INTO progress (list_id, state, cases) VALUES ($1, $2, $3)", progress)
    reached = [("2026-11-22-a", stage, number) for stage, number in (stages | {"voucher_issued": 56_180}).items()]
    await connection.executemany("INSERT INTO stage_figures VALUES ($1, $2, $3)", reached)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    verdicts = {"agree": 900, "refuse": 110, "unclear": 40, "other": 15}
    replies = [
        (hour - timedelta(hours=n), "2026-11-22-a", verdict, round(number * (1 + 0.6 * math.sin(n / 3))))
        for n in range(24)
        for verdict, number in verdicts.items()
    ]
    await connection.executemany("INSERT INTO reply_figures VALUES ($1, $2, $3, $4)", replies)
    minutes = [(hour - timedelta(minutes=n), "kcell", 3000 + n % 7 * 400) for n in range(240, 900)]
    await connection.executemany("INSERT INTO segment_figures VALUES ($1, $2, $3)", minutes)


async def _push(session: aiohttp.ClientSession, list_id: str, records: Sequence[dict[str, Any]]) -> None:
    body = b"".join(orjson.dumps(record) + b"\n" for record in records)
    headers = {"Content-Type": "application/x-ndjson"}
    async with session.put(f"/v1/lists/{list_id}", data=body, headers=headers) as response:
        assert response.status == 201


async def test_the_board_shows_the_campaign_and_what_is_wrong_and_runs_no_foreign_text(
    console: Console, picture: Picture
) -> None:
    page = await console.open()
    await expect(page.locator("#funnel tr", has_text="number found").locator("td").first).to_have_text("116,001")
    await expect(page.locator("#charts figcaption").first).to_contain_text("in all")
    await expect(page.locator("#alerts")).to_contain_text("Bind refused")
    await expect(page.locator("#partners tr", has_text="MCB")).to_contain_text("responds")
    await expect(page.locator("#age")).to_contain_text("live")
    assert await page.locator("#lists li", has_text="no cases").locator(".bar").count() == 0
    await page.locator("#charts summary").first.click()
    await expect(page.locator("#charts details").first.locator("tbody tr")).to_have_count(24)
    await expect(page.locator("#parked")).to_contain_text(HOSTILE)
    assert await page.locator("main img").count() == 0
    await page.locator("#history-title").click()
    assert await violations(page) == []
    await page.locator("#charts summary").first.click()
    await page.evaluate("scrollTo(0, 0)")
    await picture(page, "console")


async def test_the_board_of_a_gateway_whose_database_is_away_shows_what_was_read_last(console: Console) -> None:
    page = await console.open()
    away = {
        "level": "critical", "code": "database_away", "about": "",
        "text": "The database does not respond (TimeoutError)", "sentences": ["of_a_later_version"], "fields": {},
    }  # fmt: skip

    async def without_database(route: Route) -> None:
        response = await route.fetch()
        shown = await response.json()
        earlier = datetime.fromisoformat(shown["now"]) - timedelta(minutes=5)
        await route.fulfill(
            json=shown | {"read_at": earlier.isoformat(), "ready": False, "alerts": [away, *shown["alerts"]]}
        )

    await page.route("**/v1/overview/stream", lambda route: route.fulfill(status=503, json=TOO_MANY))
    await page.route("**/v1/overview", without_database)
    await page.reload()
    await expect(page.locator("#alerts")).to_contain_text("Database away")
    await expect(page.locator("#alerts")).to_contain_text("The database does not respond (TimeoutError)")
    await expect(page.locator("#alerts")).to_contain_text("Look at PostgreSQL, its disk and the network to it.")
    await expect(page.locator("#age")).to_contain_text("5 min")
    await expect(page.locator("#board")).to_have_class("stale")
    await expect(page.locator("#links")).to_contain_text("kcell")
    await expect(page.locator("#problem")).to_be_hidden()


@asynccontextmanager
async def another_process(database: Database) -> AsyncIterator[None]:
    """While this lasts another process sees all that can be wrong, and has noted it."""
    alerts = [as_noted(replace(alert, about=f"no. {n}")) for n, alert in enumerate(every_alert())]
    noted = asyncio.Event()

    async def note() -> None:
        while True:
            async with database.acquire() as connection, connection.transaction():
                await alert_history.note(connection, alerts)
            noted.set()
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(note())
        await noted.wait()
        yield
        task.cancel()


UNFILLED = re.compile(r"\[object|undefined|NaN|null|\{")
NOTED_ELSEWHERE = {
    "en": ("MCB does not accept our token (401, 403): settle mcb.token", "shown is of 2026-11-23 03:00."),
    "kk": ("MCB токенімізді қабылдамайды (401, 403): mcb.token мәнін", "Көрсетілгені 2026-11-23 03:00 уақытына."),
    "ru": ("MCB: наш токен не принят (401, 403): решите mcb.token", "Показанное — на 2026-11-23 03:00."),
}


async def test_alerts_of_another_process_and_the_history_are_in_the_language_of_the_page(
    console: Console, browser: Browser, database: Database
) -> None:
    old = "INSERT INTO alerts (code, about, level, text, ended_at) VALUES ('link_down', '', 'warning', $1, now())"
    async with database.acquire() as connection:
        await connection.execute(old, "kcell: no session bound for 7 s.")
    async with another_process(database):
        for language, (live, past) in NOTED_ELSEWHERE.items():
            page = await browser.new_page(locale=language)
            page.set_default_timeout(TIMEOUT_MS)
            await page.goto(f"{console.url}/console#token={TOKENS['ops']}")
            await expect(page.locator("#alerts")).to_contain_text(live)
            await expect(page.locator("#alerts [lang=en]")).to_have_count(0)
            await page.locator("#history-title").click()
            await expect(page.locator("#history")).to_contain_text(live)
            await expect(page.locator("#history")).to_contain_text(past)
            await expect(page.locator("#history [lang=en]")).to_have_text("kcell: no session bound for 7 s.")
            await expect(page.locator("#history")).not_to_contain_text(UNFILLED)
            await page.close()


async def test_the_console_shows_a_case_on_a_narrow_dark_screen_without_violations(console: Console) -> None:
    await console.page.route("**/v1/overview/stream", lambda route: route.fulfill(status=503, json=TOO_MANY))
    await console.page.set_viewport_size(TELEPHONE)
    await console.page.emulate_media(color_scheme="dark")
    page = await console.open(language="kk")
    await expect(page.locator("#age")).to_contain_text("сұрау арқылы")
    assert await violations(page) == []
    await page.locator("#lists .legend a[href='#list=list-1&state=queued']").click()
    await page.locator("#found .id").first.click()
    await page.locator("#case button", has_text="ашық көрсету").click()
    await page.locator("#segments").check()
    assert await page.locator(".segment").count() > 10
    assert await page.evaluate(BROKEN_WORDS) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    assert await violations(page) == []


async def test_a_case_is_searched_and_cancelled_and_what_a_gateway_that_goes_has_left_is_marked_as_old(
    console: Console,
) -> None:
    searched = await _serve_search(console.page)
    page = await console.open(language="ru")
    await expect(page.locator("#alerts")).to_contain_text(
        "Последняя попытка: ESME_RBINDFAIL; следующая через 60 мин"
    )
    await expect(page.locator("#alerts [lang=en]")).to_have_count(0)
    await page.locator("#search-kind").select_option("iin")
    await page.locator("#search-person").fill("870312497005")
    await page.locator("#search button").click()
    await expect(page.locator("#found li")).to_have_count(2)
    await expect(page.locator("#found li").first).to_contain_text("мать +7701•••••67")
    await expect(page.locator("#found")).to_contain_text("Индекс людей заполняется")
    assert (searched, "870312497005" in page.url) == ([{"iin": "870312497005"}], False)
    await page.keyboard.press("Escape")
    await page.locator("#search-kind").select_option("record")
    await page.locator("#search-list").fill("list-1")
    await page.locator("#search-record").fill("nothing")
    await page.locator("#search button").click()
    await expect(page.locator("#message")).to_have_text("Такого дела нет.")
    await page.locator("#search-record").fill("r-2")
    await page.keyboard.press("Enter")
    await expect(page.locator("#case")).to_be_visible()
    await expect(page.locator("#message")).to_have_text("")
    await page.locator("#case button.danger").click()
    await page.locator("#reason").fill("moved away")
    danger = "getComputedStyle(document.querySelector('#confirm .danger')).backgroundColor"
    assert await page.evaluate(danger) == "rgb(161, 22, 22)"
    assert await violations(page) == []
    await page.locator("#confirm .danger").click()
    await expect(page.locator("#case .badge").first).to_have_text("отменено")
    await page.keyboard.press("Escape")
    await console.stop()
    await expect(page.locator("#problem")).to_contain_text("Шлюз не отвечает.")
    await expect(page.locator("#board")).to_have_class("stale")
    await expect(page.locator("#readiness")).to_have_text("нет ответа")
