"""A noted alert is read with its sentences and what fills them: by other processes, and once it has ended."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.api.alerts import Alert, as_noted, of_noted
from gateway.components import Components
from gateway.config import Config
from gateway.partners.responses import MAX_TEXT_LENGTH
from gateway.shells import board_of
from gateway.store import alert_history
from gateway.store.database import Database
from tests.api.apiclient import Api
from tests.api.test_api_console import WORDS
from tests.api.test_api_overview import NOW, alerts_of, every_alert, held, places

OPS = "ops-token-of-tests"
SINCE = NOW - timedelta(seconds=15, microseconds=1)
(DOWN,) = alerts_of(links=[{"bound": 0, "since": SINCE, "bind_failure": "unreachable", "queued": 2}])
OF_THE_VERSION_BEFORE = """
INSERT INTO alerts (code, about, level, text) VALUES ($1, $2, $3, $4)
ON CONFLICT (code, about) WHERE ended_at IS NULL
DO UPDATE SET level = excluded.level, text = excluded.text, seen_at = clock_timestamp()
"""


async def note(database: Database, *alerts: Alert) -> None:
    """Notes what another process sees."""
    async with database.acquire() as connection, connection.transaction():
        await alert_history.note(connection, map(as_noted, alerts))


async def history(api: Api) -> list[Any]:
    alerts: list[Any] = (await api.get("/v1/alerts", OPS)).json["alerts"]
    return alerts


@pytest.mark.parametrize("language", range(3), ids=["English", "Kazakh", "Russian"])
def test_what_every_noted_alert_says_is_filled_in_each_language(language: int) -> None:
    for alert in every_alert():
        read = of_noted(as_noted(alert))
        said = " ".join(WORDS[f"says_{key}"][language] for key in read.sentences)
        filled = said.format_map({name: f"<{value}>" for name, value in read.fields.items()})
        assert set(re.findall("<(.*?)>", filled)) == {str(value) for value in alert.fields.values()}, alert


async def test_every_alert_is_read_by_another_process_as_it_was_noted(database: Database) -> None:
    noted = {str(n): replace(alert, about=str(n)) for n, alert in enumerate(every_alert())}
    await note(database, *noted.values())
    async with database.acquire() as connection:
        read = {one.about: one for one in map(of_noted, await alert_history.seen(connection))}
    assert read == noted
    for about, alert in noted.items():
        assert [*read[about].sentences] == [*alert.sentences]
        assert read[about].fields == alert.fields


async def test_the_history_of_an_alert_that_has_ended_says_what_was_seen_last(
    api: Api, components: Components, config: Config
) -> None:
    board = board_of(config, components)
    await board.note_alerts()
    await api.execute("UPDATE links SET bind_failure = 'unreachable', node = 'node', changed_at = now()")
    await board.note_alerts()
    await api.execute("UPDATE links SET bound = 1, bind_failure = NULL")
    await api.execute("UPDATE alerts SET seen_at = seen_at - interval '1 min'")
    await board.note_alerts()
    (ended,) = await history(api)
    assert (ended["code"], ended["ended_at"] is not None) == ("link_down", True)
    assert ended["sentences"][0] == "link_down"
    assert ended["fields"].keys() == places(ended["sentences"]) == {"link", "for_seconds"}
    assert ended["text"].startswith("kcell: no session bound for ")


async def test_a_row_from_before_the_columns_keeps_its_english_sentence(api: Api, database: Database) -> None:
    await api.execute(OF_THE_VERSION_BEFORE, "link_down", "kcell", "critical", DOWN.text)
    (old,) = await history(api)
    assert (old["text"], old["sentences"], old["fields"]) == (DOWN.text, [], {})
    await note(database, replace(DOWN, about="kcell"))  # by this version, while the alert lasts
    (current,) = await history(api)
    assert (current["sentences"], current["fields"]) == ([*DOWN.sentences], DOWN.fields)


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (OF_THE_VERSION_BEFORE, (DOWN.code, "kcell", "critical", "kcell: no session bound for 95 s.")),
        ("UPDATE alerts SET sentences = sentences || '{moon_full}'::text[]", ()),
        ("UPDATE alerts SET sentences = '{replies_held}'", ()),
        ("""UPDATE alerts SET fields = '{"link": "kcell", "for_seconds": [95], "texts": 2}'""", ()),
        ("""UPDATE alerts SET sentences = '{paused_invalid}', fields = '{"partner": "bank"}'""", ()),
    ],
    ids=["text of an earlier version", "later sentence", "missing field", "later type", "later partner"],
)
async def test_a_row_that_a_process_of_another_version_has_noted_has_its_english_sentence_alone(
    api: Api, database: Database, change: str, values: tuple[str, ...]
) -> None:
    await note(database, replace(DOWN, about="kcell"))
    await api.execute(change, *values)
    (shown,) = await history(api)
    text = values[-1] if values else DOWN.text
    assert (shown["text"], shown["sentences"], shown["fields"]) == (text, [], {})


async def test_the_longest_operator_that_the_mcb_may_name_is_noted_whole(api: Api, database: Database) -> None:
    (alert,) = alerts_of(held=[held(operator='"\\' * (MAX_TEXT_LENGTH // 2))])
    await note(database, alert)
    (shown,) = await history(api)
    assert (shown["text"], shown["fields"]) == (alert.text, alert.fields)


def test_the_words_of_noted_alerts_are_names_of_the_configuration_and_the_protocol() -> None:
    words = {name for alert in every_alert() for name, value in alert.fields.items() if isinstance(value, str)}
    assert words == {"link", "operator", "partner", "section", "failure", "status", "needed", "error", "read_at"}
