"""The simulators' page in a browser in three languages: a meal by card, its rating, a complaint."""

from playwright.async_api import Page, expect

from gateway.consent.events import STATUSES
from tests.browser.conftest import violations
from tests.simulators_page import NUMBER, Served

LATIN_WORDS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
    const note = (text) => (text?.match(/[A-Za-z]{2,}/g) ?? []).forEach((word) => found.add(word));
    while (walker.nextNode()) {
        const parent = walker.currentNode.parentElement;
        if (parent.checkVisibility() && !parent.closest("body [lang]")) note(walker.currentNode.data);
    }
    for (const element of document.querySelectorAll("[aria-label]")) note(element.ariaLabel);
    for (const element of document.querySelectorAll("[title]")) note(element.title);
    return [...found].sort();
}"""
"""The words in Latin letters that the page shows and says, but for texts marked as of another language."""
NAMES = {"AppStore", "Market", "Mobile", "Otinish", "Play", "QR", "SDU", "USSD", "eGov", "kcell"}


async def test_a_visitor_reads_the_page_in_kazakh_and_russian_rates_a_meal_and_complains(
    served: Served, page: Page
) -> None:
    served.environment.telephones.introduce(NUMBER, "kcell", "Ахметова Айгүл", show=True)
    await served.form_voucher()
    served.sdu.events += [
        {"at": "2026-11-28T10:00:00+05:00", "status": status, "list_id": "1", "record_id": "1", "detail": {}}
        for status in STATUSES
    ]
    await page.goto(served.server.url)
    await expect(page.get_by_role("heading", name="Telephones")).to_be_visible()
    await expect(page.locator("#vouchers")).to_contain_text("Ахметов Нұрлан")
    assert await violations(page) == []
    await page.get_by_label("Language").select_option("kk")
    await expect(page.get_by_role("heading", name="Телефондар")).to_be_visible()
    await eats_by_card_and_rates(page)
    await page.get_by_label("e-Otinish арқылы уәкілетті органға шағым").fill("Тамақ суық.")
    await page.get_by_role("button", name="Шағымды жіберу").click()
    await expect(page.locator("#complaints")).to_contain_text("№ 1")
    await expect(page.locator("#complaints .text")).to_have_text("Тамақ суық.")
    await page.get_by_role("switch", name="Әмиян").click()
    await page.get_by_role("button", name="QR-кодты көрсету").click()
    await expect(page.get_by_role("alert")).to_have_text("Әмиян бұзылған.")
    await reads_well_on_a_telephone(page)
    await page.get_by_label("Тіл", exact=True).select_option("ru")
    await expect(page.locator("#vouchers .history")).to_contain_text("оценка: 4 из 5")
    assert await page.locator("html").get_attribute("lang") == "ru"
    await reads_well_on_a_telephone(page)


async def reads_well_on_a_telephone(page: Page) -> None:
    """On 390 pixels nothing lies beyond the right edge; no word is English; axe finds nothing."""
    await page.set_viewport_size({"width": 390, "height": 844})
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert set(await page.evaluate(LATIN_WORDS)) <= NAMES
    assert await violations(page) == []


async def eats_by_card_and_rates(page: Page) -> None:
    """The card is rejected until the voucher is active; the meal is in the report, its rating in the history."""
    await page.get_by_role("button", name="Картаны оқу").click()
    await expect(page.locator("#verdict")).to_contain_text("ваучер белсендірілмеген")
    await page.get_by_role("button", name="Белсендіру").click()
    await expect(page.locator("#pupils")).to_contain_text("Ахметов Нұрлан")
    await page.get_by_role("button", name="Картаны оқу").click()
    await expect(page.locator("#verdict")).to_have_text("Тамақ берілді: Ахметов Нұрлан (карта).")
    await expect(page.locator("#report tr").first.locator("td").nth(1)).to_have_text("1")
    await page.get_by_role("button", name="5-тен 4").click()
    await expect(page.locator("#vouchers .history")).to_contain_text("бағасы: 5-тен 4")
    await expect(page.locator("#vouchers .history button")).to_have_count(0)
