"""Cases written into the tables as the gateway would have left them: hundreds of thousands in minutes.

What no bench reads is simplified: bodies and the journal's details are short.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import asyncpg

from gateway.consent.events import STATUSES, EventType
from gateway.ids import new_ulid
from gateway.store import journal, journal_tree
from gateway.store.journal import Entry

_CASES = """
INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, state, msisdn,
                   due_at, answered_at, evidence, voucher_id, opened_at, ended_at)
SELECT '01' || lpad(n::text, 24, '0'), $1, 'r-' || n, '3', 1, 'kk', '14' || lpad(n::text, 10, '0'),
       CASE WHEN $4 THEN (ARRAY['voucher_issued', 'refused', 'no_answer'])[n % 3 + 1] ELSE 'asked' END,
       '7747' || lpad(n::text, 7, '0'),
       CASE WHEN $4 THEN NULL ELSE now() + interval '4 days' + n * interval '0.1 seconds' END,
       CASE WHEN $4 AND n % 3 < 2 THEN now() - interval '30 days' END,
       CASE WHEN $4 AND n % 3 = 0 THEN 'sha256:' || md5(n::text) || md5(n::text) END,
       CASE WHEN $4 AND n % 3 = 0 THEN 'V-' || n END,
       now() - interval '40 days',
       CASE WHEN $4 THEN now() - interval '30 days' END
FROM generate_series($2::integer, $3::integer) AS n
"""
_RECORDS = """
INSERT INTO records (case_id, record)
SELECT '01' || lpad(n::text, 24, '0'), json_build_object(
           'pupil', json_build_object('iin', '14' || lpad(n::text, 10, '0'), 'surname', 'Сейітқали',
                                      'given_name', 'Нұрлан', 'patronymic', 'Ерланұлы'),
           'school', json_build_object('bin', '990240001234', 'name', '№ 12 мектеп'),
           'recipients', json_build_array(json_build_object(
               'relation', 'mother', 'iin', '87' || lpad(n::text, 10, '0'), 'surname', 'Сейітқали',
               'given_name', 'Айгүл', 'patronymic', 'Серікқызы')))
FROM generate_series($1::integer, $2::integer) AS n
"""
# The rows by which cases are found.
_DEADLINES = "INSERT INTO deadlines SELECT due_at, case_id FROM cases WHERE due_at IS NOT NULL"
_ENDED = "INSERT INTO ended_cases SELECT ended_at, case_id FROM cases WHERE ended_at IS NOT NULL"
_QUESTIONS = """
INSERT INTO questions (service, msisdn, case_id, open)
SELECT '3', '7747' || lpad(n::text, 7, '0'), '01' || lpad(n::text, 24, '0'), NOT $3
FROM generate_series($1::integer, $2::integer) AS n
"""
_SUBSCRIBERS = """
INSERT INTO subscribers (msisdn, reference)
SELECT '7747' || lpad(n::text, 7, '0'), 2 FROM generate_series($1::integer, $2::integer) AS n
"""
_SMS = """
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, reference, segments,
                 state, attempts, accepted_segments, delivered_segments, tracked_segments, message_ids, created_at,
                 accepted_at)
SELECT '01' || lpad(n::text, 24, '0'), CASE WHEN texts.place = 1 THEN 'request' ELSE 'agreed' END, 0, 'sink',
       '7747' || lpad(n::text, 7, '0'), CASE WHEN texts.place = 1 THEN 1 ELSE 0 END, '0123456789ab',
       'Құрметті Сейітқали Айгүл Серікқызы! Сіздің балаңызға тегін тамақтану қарастырылған.', 'udh8',
       texts.place, 16, 'delivered', 1, 65535, 32768, 32768, json_build_array(md5(n::text)),
       now() - interval '40 days', now() - interval '40 days'
FROM generate_series($1::integer, $2::integer) AS n, generate_series(1, $3::integer) AS texts (place)
"""
_REPLIES = """
INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict,
                     normalised, rule_version, received_at, arrived_at)
SELECT '01' || lpad(n::text, 24, '0'), 'sink', '7747' || lpad(n::text, 7, '0'), '1414', '3#1', 0, '', 'agree',
       false, '1', now() - interval '30 days', now() - interval '30 days'
FROM generate_series($1::integer, $2::integer) AS n WHERE n % 3 < 2
"""
_ASKED = ("received", "number_found", "text_accepted", "asked")
_ENDED_BY = ("consented", "voucher_issued")
_LIST = """
INSERT INTO lists (list_id, service, digest, records, accepted, duplicates, rejected, received_at)
VALUES ($1, '3', '', $2, $2, 0, 0, now() - interval '40 days')
"""
_PROGRESS = """
INSERT INTO progress (list_id, state, cases)
SELECT $1, state, count(*) FROM cases WHERE list_id = $1 GROUP BY state
"""
_PUSHED = "INSERT INTO feeds (feed, seq) VALUES ('sdu', $1)"
_COUNTED = "UPDATE figures_cursor SET seq = $1"
_BATCH = 100_000
_SEALED_AT_ONCE = 10_000
_NODE_BATCH = 100


async def stock(database: asyncpg.Connection, how_many: int, *, ended: bool) -> None:
    """Inserts so many cases: ended a month ago in different states, or asked today and waiting for a reply."""
    for first in range(1, how_many + 1, _BATCH):
        last = min(first + _BATCH - 1, how_many)
        async with database.transaction():
            await database.execute(_CASES, "stock", first, last, ended)
            await database.execute(_RECORDS, first, last)
            await database.execute(_QUESTIONS, first, last, ended)
            await database.execute(_SUBSCRIBERS, first, last)
            await database.execute(_SMS, first, last, 2 if ended else 1)
            if ended:
                await database.execute(_REPLIES, first, last)
        await _journal(database, range(first, last + 1), ended=ended)
    await database.execute(_LIST, "stock", how_many)
    await database.execute(_PROGRESS, "stock")
    await database.execute(_ENDED if ended else _DEADLINES)
    seq, _, _ = await journal.head(database)
    await database.execute(_PUSHED, seq)
    await database.execute(_COUNTED, seq)
    while await journal_tree.grow(database, _NODE_BATCH):
        pass
    # What autovacuum would have done within a month.
    await database.execute("VACUUM (ANALYZE, FREEZE)")
    await database.execute("CHECKPOINT")


async def _journal(database: asyncpg.Connection, cases: Iterable[int], *, ended: bool) -> None:
    """Journals and seals what has happened to these cases: each event to all of them, then the next."""
    at = datetime.now(UTC) - timedelta(days=40)
    events = [EventType(event) for event in (*_ASKED, *(_ENDED_BY if ended else ()))]
    entries = (
        Entry(at, f"01{n:024}", event, new_ulid(at) if event in STATUSES else None, '{"relation": "mother"}')
        for event in events
        for n in cases
    )
    while some := list(islice(entries, _SEALED_AT_ONCE)):
        await journal.append(database, some)
        await journal.seal(database, _SEALED_AT_ONCE)
