"""A held reply in the console: shown with its link and operator, counted by a person, and gone from the list."""

from playwright.async_api import Page, expect

from gateway.simulators.smsc import SmscSimulator
from tests.browser.conftest import violations
from tests.harness import TOKENS, Family, Harness, harness
from tests.operators.conftest import tele2

__all__ = ["harness", "tele2"]


async def test_ops_count_a_held_reply_in_the_console(harness: Harness, tele2: SmscSimulator, page: Page) -> None:
    family = Family(n=1, mother=("77010000001", "kcell"))
    await harness.ask(family)
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "reply_held")
    await page.add_init_script("sessionStorage.setItem('gateway-language', 'en')")
    await page.goto(f"{harness.running[0].url}/console")
    await page.locator("#token").fill(TOKENS["ops"])
    await page.locator("#login button").click()
    await expect(page.locator("#alerts")).to_contain_text(
        "replies of numbers that the MCB assigns to kcell are held"
    )
    case_id = await harness.case_id(family)
    await page.locator("#held .id", has_text=case_id).click()
    await page.locator("#case button", has_text="Count the held reply…").click()
    await expect(page.locator("#confirm")).to_contain_text("Count the consent?")
    await expect(page.locator("#confirm")).to_contain_text("tele2")
    assert await violations(page) == []
    await page.locator("#confirm button", has_text="Count the reply").click()
    await expect(page.locator("#message")).to_have_text(f"{case_id}: reply counted.")
    await harness.status(family, "voucher_issued")
    assert (await harness.journaled(family, "reply_accepted"))["by"] == "ops"
    await page.keyboard.press("Escape")
    await expect(page.locator("#held")).not_to_contain_text(case_id)
