"""Headless Chromium for these tests, which are skipped where none is installed.

`SCREENSHOTS=1` in the environment writes the pictures of docs/screenshots again.
"""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright, expect

from tests.simulators_page import served

__all__ = ["served"]

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIMEOUT_MS = 90_000  # a loaded machine takes its time
REFUSAL = "409 (Conflict)"
"""What a page tries and its server refuses: the page shows it, and the browser notes it as an error."""
AS_ROOT = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root

expect.set_options(timeout=TIMEOUT_MS)

Picture = Callable[[Page, str], Awaitable[None]]


async def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds, by rule, and where."""
    found = await Axe().run(page, options={"resultTypes": ["violations"]})
    return [(one["id"], [str(node["target"]) for node in one["nodes"]]) for one in found.response["violations"]]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser of its own for the test."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=AS_ROOT, timeout=TIMEOUT_MS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page, on which no script may fail and nothing may be reported as an error until the end of the test."""
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and REFUSAL not in message.text:
            errors.append(message.text)

    def failed(error: Error) -> None:
        errors.append(str(error))

    page.on("console", note)
    page.on("pageerror", failed)
    yield page
    assert errors == []


@pytest.fixture
def picture() -> Picture:
    """`await picture(page, "name")` writes docs/screenshots/name.png where that is asked for."""

    async def write(page: Page, name: str) -> None:
        if os.environ.get("SCREENSHOTS") == "1":
            FOLDER.mkdir(exist_ok=True)
            await page.screenshot(path=FOLDER / f"{name}.png", full_page=True)

    return write
