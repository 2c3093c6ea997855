"""Reading of replies: the table of the rules, and properties of any text."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.consent.reply import RULE_VERSION, Reading, ReplyRules, Verdict, read_menu_reply, read_reply

MEALS = ReplyRules(service="3", agree="1", refuse="2", strict=False)
STRICT = ReplyRules(service="3", agree="1", refuse="2", strict=True)

PLAIN = [
    "3#1",
    "3#1.",
    '"3#1"',
    "«3#1»",
    "(3#1)!",
    "[3#1]",
    "{3#1}",
    "<3#1>",
    "“3#1”",
    "„3#1“",
    "‘3#1’",
    "'3#1'",
    "`3#1`",
    "3#1:)",
    "3#1…",
    "– 3#1 —",
    "3 # 1",
    "3# 1",
    "3 #1",
    "3\u00a0#\u00a01",
    "  3#1  ",
    "3#1\r\n",
    "3\n#\n1",
    "\t3 \t # \u2028 1",
    "3#1\x00",
    "\ufeff3#1",
    "3\u200b#\u200b1",
    "\u200e3#1\u200f",
    "3\u00ad#\u2060\u200d1",
    "3\ufe0f#\ufe0f1\ufe0e",
    "3#1\n3#1",
    "3#1, 3#1; 3#1",
    "3#1,3#1",
    "（3#1）！",  # full-width brackets and punctuation are ignored like ASCII ones
]
NORMALISED = [
    "3#1#",
    "3 # 1#",
    "３＃１",
    "3＃1",
    "3﹟1",
    "٣#١",
    "३#१",
    "3\ufe0f\u20e3#\ufe0f\u20e31\ufe0f\u20e3",
    "3\u20e3#1",
    "3№1",
    "3 № 1",
    "3♯1",
    "З#1",
    "з#1",
    "3#І",
    "3#і",
    "3#I",
    "3#i",
    "3#l",
    "3#|",
    "З№І",
    "𝟑#𝟏",
    "3#¹",
    "3#1 3№1",
    "3#1 иә",
    "3#1 ИӘ!",
    "3#1 ия",
    "3#1 да",
    "3#1 ок",
    "3#1 OK",
    "3#1, рахмет",
    "3#1 рақмет",
    "3#1. Спасибо!",
    "3#1 келісемін",
    "3#1 согласен",
    "3#1 согласна",
    "иә 3#1",
    "Да, 3#1",
    "иә, 3#1",
]
REFUSED_PLAIN = [text.replace("1", "2") for text in PLAIN]
REFUSED_NORMALISED = [
    "3#2#",
    "３＃２",
    "٣#٢",
    "3\ufe0f\u20e3#\ufe0f\u20e32\ufe0f\u20e3",
    "3№2",
    "3♯2",
    "З#2",
    "3#2 жоқ",
    "жоқ, 3#2",
    "3#2 Нет",
    "3#2 керек емес",
    "3#2, не надо!",
    "3#2 отказываюсь",
    "3#2 бас тартамын",
]
UNCLEAR = [
    "3#1 3#2",
    "3#2\n3#1",
    "3#1 жоқ",
    "3#1 нет",
    "3#2 иә",
    "3#2 да",
    "3#1 емес",
    "3#1 не согласен",
    "3#1?",
    "3#1 ?",
    "3#1 иә да",
    "3#1 мама",
    "3#1 👍",
    "3#1 5#1",
    "3#1 3#3",
    "3#1 R 1 1",
    "3#1 1",
    "1 3#1",
    "3#1 #",
    "3#1-2",
    "3#1/2",
    "3#½",
    "3*1",
    "3-1",
    "3.1",
    "31",
    "3 1",
    "3H1",
    "Э#1",
    "3##1",
    "3# #1",
    "#3#1",
    "*3#1#",
    "*3#1",
    "3#1*",
    "3#1##",
    "3#1#1",
    "3#1#3#1",
    "3#13#1",
    "3#12",
    "3#11",
    "3#1|",
    "3#ll",
    "3#Ⅱ",
    "3#1а",
    "да3#1",
    "3#3",
    "3#0",
    "3#",
    "#1",
    "3#один",
    "3#ı",
    "3#İ",
    "3#−1",
    "3#1_",
    "_3#1",
    "иә",
    "да",
    "ok",
    "+",
    "1",
    "жоқ",
    "нет",
    "2",
    "стоп",
    "...",
    "?",
    "R",
    "123",
    "123456789",
    "1 2 3 4",
    "3.1 3.1",
    "5#1 3#",
    "5#",
    "5##1",
]
OTHER = [
    "R 1 1",
    "r11",
    "R1",
    "5#1",
    "5 # 1",
    "5№1",
    "(5#1)!",
    "13#1",
    "33#2",
    "13#12",
    "1234",
    "12345678",
    " 0000. ",
]
EMPTY = ["", " ", "\r\n\t", "\u200b\ufeff", "\u00ad", "\x00\x1a", "\u3000", "\ufe0f\u20e3"]


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize("rules", [MEALS, STRICT], ids=["lenient", "strict"])
def test_a_plain_consent_is_agree(text: str, rules: ReplyRules) -> None:
    assert read_reply(text, rules) == Reading(verdict=Verdict.AGREE, normalised=False)


@pytest.mark.parametrize("text", NORMALISED)
def test_a_normalised_consent_is_agree_and_marked(text: str) -> None:
    assert read_reply(text, MEALS) == Reading(verdict=Verdict.AGREE, normalised=True)


@pytest.mark.parametrize("text", REFUSED_PLAIN)
@pytest.mark.parametrize("rules", [MEALS, STRICT], ids=["lenient", "strict"])
def test_a_plain_refusal_is_refuse(text: str, rules: ReplyRules) -> None:
    assert read_reply(text, rules) == Reading(verdict=Verdict.REFUSE, normalised=False)


@pytest.mark.parametrize("text", REFUSED_NORMALISED)
def test_a_normalised_refusal_is_refuse_and_marked(text: str) -> None:
    assert read_reply(text, MEALS) == Reading(verdict=Verdict.REFUSE, normalised=True)


@pytest.mark.parametrize("text", NORMALISED + REFUSED_NORMALISED)
def test_with_strict_rules_a_normalised_reply_is_unclear(text: str) -> None:
    assert read_reply(text, STRICT).verdict is Verdict.UNCLEAR


@pytest.mark.parametrize("text", UNCLEAR)
@pytest.mark.parametrize("rules", [MEALS, STRICT], ids=["lenient", "strict"])
def test_an_ambiguous_reply_is_unclear(text: str, rules: ReplyRules) -> None:
    assert read_reply(text, rules) == Reading(verdict=Verdict.UNCLEAR, normalised=False)


@pytest.mark.parametrize("text", OTHER)
def test_a_message_for_another_service_is_other(text: str) -> None:
    assert read_reply(text, MEALS) == Reading(verdict=Verdict.OTHER, normalised=False)


@pytest.mark.parametrize("text", EMPTY)
def test_a_reply_without_visible_characters_is_empty(text: str) -> None:
    assert read_reply(text, MEALS) == Reading(verdict=Verdict.EMPTY, normalised=False)


def test_octets_that_do_not_decode_are_unclear() -> None:
    assert read_reply(None, MEALS) == Reading(verdict=Verdict.UNCLEAR, normalised=False)


def test_the_numero_sign_is_read_before_nfkc_expands_it() -> None:
    assert unicodedata.normalize("NFKC", "3№1") == "3No1"
    assert read_reply("3№1", MEALS).verdict is Verdict.AGREE
    assert read_reply("3No1", MEALS).verdict is Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("text", "verdict", "normalised"),
    [
        ("13#7", Verdict.AGREE, False),
        ("13#70", Verdict.REFUSE, False),
        ("13 # 70.", Verdict.REFUSE, False),
        ("1З#7", Verdict.AGREE, True),
        ("lЗ#7", Verdict.AGREE, True),
        ("13#7 13#70", Verdict.UNCLEAR, False),
        ("13#1", Verdict.UNCLEAR, False),
        ("13#700", Verdict.UNCLEAR, False),
        ("13#7 жоқ", Verdict.UNCLEAR, False),
        ("13#70 жоқ", Verdict.REFUSE, True),
        ("113#7", Verdict.OTHER, False),
        ("3#7", Verdict.OTHER, False),
        ("3#1", Verdict.OTHER, False),
    ],
)
def test_replies_are_read_with_the_configured_codes(text: str, verdict: Verdict, normalised: bool) -> None:
    rules = ReplyRules(service="13", agree="7", refuse="70", strict=False)
    assert read_reply(text, rules) == Reading(verdict=verdict, normalised=normalised)


def test_agree_and_refuse_codes_may_be_swapped() -> None:
    swapped = ReplyRules(service="3", agree="2", refuse="1", strict=False)
    assert read_reply("3#2", swapped) == Reading(verdict=Verdict.AGREE)
    assert read_reply("3#l", swapped) == Reading(verdict=Verdict.REFUSE, normalised=True)


@pytest.mark.parametrize(
    ("service", "agree", "refuse"), [("", "1", "2"), ("3", ".", "2"), ("3", "1", "٢"), ("3", "1", "1")]
)
def test_invalid_reply_rules_raise_value_error(service: str, agree: str, refuse: str) -> None:
    with pytest.raises(ValueError, match=r"not a number|one value"):
        ReplyRules(service=service, agree=agree, refuse=refuse, strict=False)


def test_the_rule_version_is_1() -> None:
    assert RULE_VERSION == "1"


REPLIES = st.sampled_from(PLAIN + NORMALISED + REFUSED_PLAIN + REFUSED_NORMALISED)
IGNORED = st.text(alphabet=" \u00a0\n\t\u200b\u200d\ufeff\u00ad\"'«»“”„‘’`()[]{}.,!;:…-–—", max_size=6)
WORDS = st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lo", "Lt", "Lm"]), min_size=1, max_size=12)
CONFIRMING = {
    "иә",
    "ия",
    "да",
    "ок",
    "ok",
    "рахмет",
    "рақмет",
    "спасибо",
    "келісемін",
    "согласен",
    "согласна",
    "жоқ",
    "нет",
    "керекемес",
    "ненадо",
    "отказываюсь",
    "бастартамын",
}


@pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines
@given(st.one_of(st.text(), st.text(alphabet="3зЗ#№♯12iіl|?* R\ufe0f\u20e3\u200b\ud800", max_size=12)))
def test_no_text_makes_read_reply_raise(text: str) -> None:
    reading = read_reply(text, MEALS)
    assert reading.verdict in Verdict
    assert not reading.normalised or reading.verdict in (Verdict.AGREE, Verdict.REFUSE)
    expected = Verdict.UNCLEAR if reading.normalised else reading.verdict
    assert read_reply(text, STRICT) == Reading(verdict=expected)


@given(IGNORED, REPLIES, IGNORED)
def test_ignored_characters_around_a_reply_do_not_change_its_verdict(before: str, text: str, after: str) -> None:
    assert read_reply(before + text + after, MEALS) == read_reply(text, MEALS)


@given(REPLIES, st.sampled_from([" ", "\n", ", "]), REPLIES)
def test_a_reply_with_two_different_codes_is_unclear(one: str, between: str, two: str) -> None:
    assume(read_reply(one, MEALS).verdict is not read_reply(two, MEALS).verdict)
    assert read_reply(one + between + two, MEALS).verdict is Verdict.UNCLEAR


@given(st.sampled_from(["3#1", "3#2", "«3#1»", "3 # 2", "З№1"]), WORDS)
def test_a_word_outside_the_closed_lists_makes_a_reply_unclear(code: str, word: str) -> None:
    assume(unicodedata.normalize("NFKC", word).casefold() not in CONFIRMING)
    assert read_reply(f"{code} {word}", MEALS).verdict is Verdict.UNCLEAR
    assert read_reply(f"{word} {code}", MEALS).verdict is Verdict.UNCLEAR


@given(st.text(alphabet=st.characters(exclude_characters="#№♯＃﹟"), max_size=20))
def test_a_reply_without_a_number_sign_is_neither_agree_nor_refuse(text: str) -> None:
    assert read_reply(text, MEALS).verdict not in (Verdict.AGREE, Verdict.REFUSE)


@pytest.mark.parametrize("text", ["1", " 1 ", "1\r", "\u200b1"])
def test_the_bare_digit_is_a_reply_to_a_menu(text: str) -> None:
    assert read_menu_reply(text, MEALS) == Reading(verdict=Verdict.AGREE)
    assert read_menu_reply(text.replace("1", "2"), MEALS) == Reading(verdict=Verdict.REFUSE)


def test_a_menu_digit_of_another_script_is_normalised_or_with_strict_rules_unclear() -> None:
    assert read_menu_reply("١", MEALS) == Reading(verdict=Verdict.AGREE, normalised=True)
    assert read_menu_reply("١", STRICT).verdict is Verdict.UNCLEAR


@pytest.mark.parametrize(
    "text", ["", "3", "11", "12", "1 2", "1.", "1?", "4#1", "3#3", "3#1 жоқ", "иә", "да", "I", "*1#", None]
)
def test_any_other_reply_to_a_menu_is_unclear(text: str | None) -> None:
    assert read_menu_reply(text, MEALS).verdict is Verdict.UNCLEAR
