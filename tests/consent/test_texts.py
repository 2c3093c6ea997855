"""The texts as they are sent, compared with the order's own text."""

import re
import unicodedata
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.templates import PACKAGE_TEMPLATES, load_templates
from gateway.consent.texts import (
    LANGUAGES,
    NAMES,
    SCREENS,
    Kind,
    Name,
    TemplateError,
    Templates,
    Text,
)

MEALS = PACKAGE_TEMPLATES / "school-meals"
LOADED = load_templates(MEALS)
LINK = "https://egovmobile.page.link/socwallet"
NO_NAME = Name(surname="", given_name="", patronymic=None)
MOTHER = Name(surname="Ахметова", given_name="Айгүл", patronymic="Серікқызы")
PUPIL = Name(surname="Ахметов", given_name="Нұрлан", patronymic=None)
ORDER = Path(__file__).parents[1] / "fixtures" / "order-appendix-1.kk.txt"
"""Appendix 1 of the Kazakh order, annex 1: the three texts as they were published."""


def render(
    kind: Kind,
    language: str = "kk",
    *,
    templates: Templates = LOADED,
    recipient: Name = MOTHER,
    pupil: Name = PUPIL,
    link: str = LINK,
    codes: tuple[str, str, str] = ("3", "1", "2"),
) -> Text:
    service, agree, refuse = codes
    return templates.render(
        kind,
        language,
        recipient=recipient,
        pupil=pupil,
        link=link,
        service=service,
        agree=agree,
        refuse=refuse,
    )


def units(text: str) -> int:
    return len(text.encode("utf-16-be")) // 2


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in NAMES:
        for language in LANGUAGES:
            (tmp_path / f"{name}.{language}.txt").write_text(f"{name} {language}\n", encoding="utf-8")
    return tmp_path


def test_kazakh_texts_equal_those_of_the_order_character_for_character() -> None:
    lines = [line for line in ORDER.read_text(encoding="utf-8").split("\n") if line]
    first, second, third = (index for index, line in enumerate(lines) if re.match(r"\d\. SMS-хабарлама", line))
    request = "\n".join(line for line in lines[first + 1 : second] if not line.startswith("("))
    blanks = re.compile("_+")
    filled = blanks.sub(PUPIL.full, blanks.sub(MOTHER.full, request, count=1), count=1)
    assert render(Kind.REQUEST).body == filled.replace("  ", " ")
    assert [render(Kind.REFUSED).body] == lines[second + 1 : third]
    assert [render(Kind.AGREED).body] == lines[third + 1 :]


@pytest.mark.parametrize(
    ("kind", "length", "segments"), [(Kind.REQUEST, 967, 15), (Kind.REFUSED, 28, 1), (Kind.AGREED, 233, 4)]
)
def test_kazakh_texts_have_the_length_and_segments_of_the_rules(kind: Kind, length: int, segments: int) -> None:
    body = render(kind, recipient=NO_NAME, pupil=NO_NAME).body
    assert units(body) == length
    assert (1 if length <= 70 else -(-length // 67)) == segments


def test_two_names_of_sixty_letters_make_a_request_of_1087_units() -> None:
    long = Name(surname="Ә" * 60, given_name="", patronymic=None)
    assert units(render(Kind.REQUEST, recipient=long, pupil=long).body) == 1087


def test_request_names_recipient_and_pupil_in_their_blanks() -> None:
    first, second, *rest = render(Kind.REQUEST).body.split("\n")
    assert first == "Құрметті Ахметова Айгүл Серікқызы!"
    assert second == (
        "Сіздің балаңызға Ахметов Нұрлан жалпы білім беретін мектепте тегін тамақтану қарастырылған."
    )
    assert len(rest) == 4


def test_russian_texts_are_the_translations_of_the_digest() -> None:
    first, second, *rest = render(Kind.REQUEST, "ru").body.split("\n")
    assert first == (
        "Уважаемый(-ая) Ахметова Айгүл Серікқызы! Для Вашего ребёнка Ахметов Нұрлан предусмотрено "
        "бесплатное питание в общеобразовательной школе."
    )
    assert second == (
        "Для получения бесплатного питания отправьте SMS с текстом: 3#1. Если Вы не согласны, введите 3#2 "
        "или проигнорируйте это сообщение. Ответ необходимо дать в течение 3 календарных дней."
    )
    assert len(rest) == 3
    assert render(Kind.REFUSED, "ru").body == "Вы отказались от услуги."
    assert render(Kind.AGREED, "ru").body.endswith(f"Egov mobile по ссылке {LINK}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_clarification_is_one_segment_with_both_codes(language: str) -> None:
    body = render(Kind.CLARIFY, language).body
    assert units(body) <= 70
    assert body.index("3#1") < body.index("3#2")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_repeat_has_the_text_of_the_request(language: str) -> None:
    assert render(Kind.REPEAT, language) == render(Kind.REQUEST, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_contain_the_configured_codes_and_link(language: str) -> None:
    texts = [render(kind, language, link="https://example.kz/w", codes=("13", "7", "8")).body for kind in Kind]
    assert not any("3#1" in text or "3#2" in text or LINK in text for text in texts)
    assert "13#7" in texts[0]
    assert "13#8" in texts[0]
    assert "https://example.kz/w" in render(Kind.AGREED, language, link="https://example.kz/w").body


def test_the_version_of_a_template_is_its_hash() -> None:
    for template in LOADED.all():
        assert template.version == sha256(template.body.encode()).hexdigest()[:12]
        assert render(Kind(template.name), template.language).template == template.version


def test_every_text_exists_in_every_language() -> None:
    found = {(template.name, template.language) for template in LOADED.all()}
    assert found == {(name, language) for name in NAMES for language in LANGUAGES}


def test_patronymic_is_left_out_when_there_is_none() -> None:
    assert Name("Ахметов", "Нұрлан", None).full == "Ахметов Нұрлан"
    assert Name("Ахметов", "Нұрлан", "").full == "Ахметов Нұрлан"
    assert MOTHER.full == "Ахметова Айгүл Серікқызы"


@given(st.text(max_size=20), st.text(max_size=20))
def test_placeholders_within_names_are_not_replaced(surname: str, link: str) -> None:
    braces = Name(surname=f"{surname}{{pupil}}", given_name=r"{0} \1 \g<1>", patronymic="{link}")
    body = render(Kind.REQUEST, recipient=braces, link=link).body
    name = rf"{surname}{{pupil}} {{0}} \1 \g<1> {{link}}"
    assert body.startswith(
        unicodedata.normalize("NFC", f"Құрметті {name}!\nСіздің балаңызға Ахметов Нұрлан жалпы")
    )


def test_names_are_normalised_to_nfc() -> None:
    decomposed = Name(surname=unicodedata.normalize("NFD", "Йёлкин"), given_name="Нұрлан", patronymic=None)
    body = render(Kind.REQUEST, recipient=decomposed).body
    assert body.startswith("Құрметті Йёлкин Нұрлан!")
    assert unicodedata.is_normalized("NFC", body)


def test_one_newline_at_the_end_of_a_template_file_is_removed(directory: Path) -> None:
    bodies = {template.name: template.body for template in load_templates(directory).all()}
    assert bodies["clarify"] == "clarify ru"


def test_byte_order_mark_and_crlf_of_a_template_file_are_removed(directory: Path) -> None:
    (directory / "request.kk.txt").write_bytes("\ufeffБір\r\nекі\r\n".encode())
    assert render(Kind.REQUEST, templates=load_templates(directory)).body == "Бір\nекі"


def test_the_error_for_a_missing_template_names_its_file(directory: Path) -> None:
    (directory / "agreed.ru.txt").unlink()
    with pytest.raises(TemplateError, match=r"agreed\.ru\.txt: No such file"):
        load_templates(directory)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("Құрметті {name}!".encode(), r"unknown placeholder \{name\}"),
        (b"{}", r"unknown placeholder \{\}"),
        (b"{recipient", "a brace that belongs to no placeholder"),
        (b"{{link}}", "a brace that belongs to no placeholder"),
        (b"\n", "is empty"),
        ("Құрметті".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_an_invalid_template_is_rejected_at_load(directory: Path, content: bytes, reason: str) -> None:
    (directory / "refused.kk.txt").write_bytes(content)
    with pytest.raises(TemplateError, match=rf"refused\.kk\.txt: {reason}"):
        load_templates(directory)


# 160 octets: 80 units of UCS-2, or 182 septets of GSM 03.38
@pytest.mark.parametrize("content", ["ұ" * 80, "a" * 182, "ұ" * 72 + "{agree}", "{yes}{no}", "a\nb"])
def test_a_ussd_screen_of_160_octets_is_accepted(directory: Path, content: str) -> None:
    (directory / "menu_invalid.kk.txt").write_text(content, encoding="utf-8")
    load_templates(directory)


@pytest.mark.parametrize("content", ["ұ" * 81, "a" * 183, "ұ" * 73 + "{agree}", "\U0001f600" * 41])
def test_a_ussd_screen_above_160_octets_is_rejected_at_load(directory: Path, content: str) -> None:
    (directory / "menu.kk.txt").write_text(content, encoding="utf-8")
    with pytest.raises(TemplateError, match=r"menu\.kk\.txt: does not fit one USSD screen: 80 UCS-2 units"):
        load_templates(directory)


@pytest.mark.parametrize("placeholder", ["recipient", "pupil", "link"])
def test_a_ussd_screen_with_a_name_or_a_link_is_rejected(directory: Path, placeholder: str) -> None:
    (directory / "menu.kk.txt").write_text(f"{{{placeholder}}}", encoding="utf-8")
    with pytest.raises(TemplateError, match="unknown placeholder"):
        load_templates(directory)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_menu_has_the_bare_digits_in_every_language(language: str) -> None:
    menu = LOADED.screen(Kind.MENU, language, service="3", agree="7", refuse="8").body
    assert [line[:4] for line in menu.split("\n")[1:]] == ["7 - ", "8 - "]
    for screen in SCREENS:
        body = LOADED.screen(Kind(screen), language, service="123456", agree="7", refuse="8").body
        assert units(body) <= 80


# --- what is kept of a text ---


def replaced(template: str, fields: Mapping[str, str]) -> str:
    """The template with each field in place of its placeholder, as `filled_template` of the database makes it."""
    for name, value in fields.items():
        template = template.replace(f"{{{name}}}", value)
    return template


@pytest.mark.no_cover  # tracing adds half its time, and other tests cover the same lines
@given(surname=st.text(min_size=1, max_size=20), given_name=st.text(min_size=1, max_size=20))
def test_the_fields_of_a_text_make_it_of_its_template_octet_for_octet(surname: str, given_name: str) -> None:
    text = render(Kind.REQUEST, recipient=Name(surname=surname, given_name=given_name, patronymic=None))
    template = next(t for t in LOADED.all() if t.version == text.template)
    assert text.fields is None or replaced(template.body, text.fields) == text.body


def test_a_text_with_ordinary_names_is_kept_as_its_fields() -> None:
    assert render(Kind.REPEAT).fields == {
        "agree": "3#1",
        "pupil": "Ахметов Нұрлан",
        "recipient": "Ахметова Айгүл Серікқызы",
        "refuse": "3#2",
    }
    assert render(Kind.AGREED).fields == {"link": LINK}


@pytest.mark.parametrize("surname", ["{pupil}", "И\u0306ванова"])
def test_a_text_that_replacing_would_not_make_again_is_kept_itself(surname: str) -> None:
    text = render(Kind.REQUEST, recipient=Name(surname=surname, given_name="Айгүл", patronymic=None))
    assert text.fields is None
    assert unicodedata.normalize("NFC", surname) in text.body
