"""The newcomer's path in a browser: `demo --stay`, a consent by hand, a used voucher, an own list, the console."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import CHROMIUM, Picture

ROOT = Path(__file__).parents[2]
START_SECONDS = 180
STOP_SECONDS = 60
DAY_SECONDS = 30
OWN: dict[str, Any] = {
    "record_id": "own-1", "category": 1, "language": "ru",
    "pupil": {"iin": "131106697007", "surname": "Ахметов", "given_name": "Нұрлан"},
    "mother": {"iin": "870312497005", "surname": "Ахметова", "given_name": "Айгүл"},
    "father": None, "representatives": [],
}  # fmt: skip


class Stay(NamedTuple):
    """A running `gateway demo --stay`, and what it printed."""

    process: asyncio.subprocess.Process
    environment: str
    console: str
    config: str


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "gateway", *arguments]


@pytest.fixture
async def stay(data_dir: Path, tmp_path: Path) -> AsyncIterator[Stay]:
    """A environment with one family, which waits for the visitor alone."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    options = ["--families", "1", "--stay", "--port", "0", "--day", str(DAY_SECONDS)]
    demo = await asyncio.create_subprocess_exec(
        *command("demo", *options, "--log", str(tmp_path / "gateway.log")), stdout=PIPE, stderr=STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(data_dir)},
    )  # fmt: skip
    assert demo.stdout is not None
    try:
        printed = ""
        async with asyncio.timeout(START_SECONDS):
            while "a list of your own" not in printed:
                line = await demo.stdout.readline()
                assert line, printed
                printed += line.decode()
        environment, console = re.findall(r"http://\S+", printed)
        yield Stay(demo, environment, console, printed.split()[-1])
    finally:
        if demo.returncode is None:
            demo.send_signal(signal.SIGINT)
            with suppress(TimeoutError):
                await asyncio.wait_for(demo.wait(), STOP_SECONDS)
            if demo.returncode is None:
                demo.kill()
                await demo.wait()


async def test_a_visitor_goes_from_the_text_to_the_meal_and_to_a_list_of_his_own(
    stay: Stay, page: Page, picture: Picture, tmp_path: Path, data_dir: Path
) -> None:
    await page.goto(stay.environment)
    assert "key" in stay.environment
    await expect(page.get_by_role("heading", name="Telephones")).to_be_visible()
    assert "#" not in page.url
    await answers_by_hand(page)
    await eats(page, picture)
    await breaks_and_repairs(page)
    await fits_a_telephone(page, picture)
    await pushes_a_list(stay, page, tmp_path)
    await finds_it_in_the_console(stay, page)
    await page.close()
    await ends_without_a_trace(stay, data_dir)


async def answers_by_hand(page: Page) -> None:
    """The menu by USSD asks the same question as the text; the visitor leaves it and answers by a message."""
    request = page.locator("#messages .theirs .text").first
    await expect(request).to_contain_text("тегін тамақтану қарастырылған")
    await expect(request).to_have_attribute("lang", "kk")
    await expect(page.locator("#messages")).to_contain_text("16 segments")
    await page.get_by_role("button", name="Dial *1414*3#").press("Enter")
    await expect(page.locator("#screen-text")).to_contain_text("1")
    await page.get_by_role("button", name="Hang up").click()
    await expect(page.locator("#screen")).to_be_hidden()
    await page.get_by_label("Message to 1414").fill("Бұл кім?")
    await page.get_by_label("Message to 1414").press("Enter")
    await expect(page.locator("#messages .theirs")).to_have_count(2)  # asked once more, shorter
    await page.get_by_role("button", name="3#1", exact=True).click()
    await expect(page.locator("#messages .theirs").last).to_contain_text("оң өңделді")


async def eats(page: Page, picture: Picture) -> None:
    """The voucher is activated, and its code is good for one meal."""
    await page.get_by_role("button", name="Activate").click()
    await page.get_by_role("button", name="Show the code").click()
    await expect(page.get_by_role("img", name="QR code of V-000001")).to_be_visible()
    await picture(page, "simulators")
    code = await page.locator("#shown-code").text_content()
    assert code
    await page.get_by_role("button", name="Read the code that the wallet shows").click()
    await expect(page.locator("#verdict")).to_contain_text("Meal served")
    await page.get_by_label("Code of the pupil").fill(code)
    await page.get_by_role("button", name="Read", exact=True).click()
    await expect(page.locator("#verdict")).to_contain_text("Refused")
    await expect(page.locator("#vouchers .history")).to_contain_text("used")
    await expect(page.locator("#statuses")).to_contain_text("service received")
    await expect(page.locator("#report tr").first.locator("td").nth(1)).to_have_text("1")


async def breaks_and_repairs(page: Page) -> None:
    """A broken wallet serves nobody."""
    switch = page.get_by_role("switch", name="Wallet")
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "false")
    await page.get_by_role("button", name="Show the code").click()
    await expect(page.get_by_role("alert")).to_have_text("The wallet is broken.")
    await switch.press("Space")
    await expect(switch).to_have_attribute("aria-checked", "true")
    await expect(page.get_by_role("alert")).to_be_hidden()


async def fits_a_telephone(page: Page, picture: Picture) -> None:
    """On 390 pixels nothing lies beyond the right edge."""
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.emulate_media(color_scheme="dark")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await picture(page, "simulators-telephone")
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": 1280, "height": 900})


async def pushes_a_list(stay: Stay, page: Page, folder: Path) -> None:
    """`gateway push FILE --config …` with the file that the demo names: the telephone appears."""
    file = folder / "my-own-list.ndjson"
    file.write_text(json.dumps(OWN, ensure_ascii=False) + "\n", encoding="utf-8")
    push = await asyncio.create_subprocess_exec(
        *command("push", str(file), "--config", stay.config), stdout=PIPE, stderr=STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    output, _ = await push.communicate()
    assert push.returncode == 0, output.decode()
    await (
        page.get_by_role("list", name="Telephones, the latest message first")
        .get_by_role("button")
        .filter(has_text="+77011249700")
        .click()
    )
    await expect(page.locator("#messages .theirs .text")).to_contain_text("Ахметов Нұрлан")


async def finds_it_in_the_console(stay: Stay, page: Page) -> None:
    """The console opens signed in and finds the case by number or IIN; its address has neither, and no token."""
    await page.goto(stay.console)
    for kind, searched in (("msisdn", "+77011249700"), ("iin", OWN["mother"]["iin"])):
        await page.locator("#search-kind").select_option(kind)
        await page.locator("#search-person").fill(searched)
        await page.locator("#search button").click()
        await expect(page.locator("#case")).to_contain_text("my-own-list")
        await expect(page.locator("#case")).to_contain_text("own-1")
        assert searched.lstrip("+") not in page.url
        await page.keyboard.press("Escape")
    assert "token" not in page.url


async def ends_without_a_trace(stay: Stay, data_dir: Path) -> None:
    """Ctrl-C ends everything: no process and no file is left."""
    stay.process.send_signal(signal.SIGINT)
    assert stay.process.stdout is not None
    async with asyncio.timeout(STOP_SECONDS):
        said = (await stay.process.stdout.read()).decode()
        assert await stay.process.wait() == 0
    assert said.endswith("everything is cleaned up\n")
    assert traces_of(data_dir) == []


def traces_of(data_dir: Path) -> list[str]:
    """The demo's files in the folder, and the command lines of processes that name it."""
    found = [str(path) for path in data_dir.glob("gateway-demo-*")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(data_dir) in (line := process.read_text(errors="replace")):
                found.append(line)
    return found
