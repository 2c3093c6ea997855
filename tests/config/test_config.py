"""config.toml: defaults and values, and each fault by its key."""

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.config import Config, ConfigError, ConfigErrors, load
from gateway.config.table import Source, Table
from gateway.smpp.pdu import Address

ROOT = Path(__file__).parents[2]
SECRETS = {
    "GATEWAY_SDU_TOKEN": "sdu-secret-of-callers",
    "GATEWAY_WALLET_TOKEN": "wallet-secret-of-callers",
    "GATEWAY_OPS_TOKEN": "ops-secret-of-callers",
    "GATEWAY_MCB_TOKEN": "mcb-secret",
    "GATEWAY_WALLET_OUT_TOKEN": "wallet-out-secret",
    "KCELL_PASSWORD": "kcellpw",
    "IN_ITSELF": "file:/run/secrets/ops",
}
MINIMAL = """
[services.3]
name = "school-meals"
link = "https://example.kz/wallet"
[mcb]
url = "http://127.0.0.1:9101"
token = "env:GATEWAY_MCB_TOKEN"
[wallet]
url = "http://127.0.0.1:9102"
token = "env:GATEWAY_WALLET_OUT_TOKEN"
[[links]]
name = "kcell"
host = "127.0.0.1"
port = 2775
system_id = "gateway"
password = "env:KCELL_PASSWORD"
source = "1414"
"""

SECOND = "\n[[links]]" + MINIMAL.split("[[links]]")[1].replace('"kcell"', '"tele2"')


def read(directory: Path, text: str, environ: Mapping[str, str] = SECRETS, *, secrets: bool = True) -> Config:
    path = directory / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ=environ, secrets=secrets)


def altered(old: str, new: str) -> str:
    assert old in MINIMAL
    return MINIMAL.replace(old, new)


def refusal(directory: Path, text: str, environ: Mapping[str, str] = SECRETS) -> ConfigErrors:
    with pytest.raises(ConfigErrors) as refused:
        read(directory, text, environ)
    return refused.value


def test_a_minimal_configuration_has_the_documented_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.path == tmp_path / "config.toml"
    assert config.gateway.embedded
    assert config.gateway.data_dir == tmp_path / "var"
    assert config.clock.rate == 1
    assert (config.http.host, config.http.port, config.http.max_list_bytes) == (
        "127.0.0.1",
        8080,
        1_073_741_824,
    )
    assert config.http.tokens == {
        "sdu": ("sdu-secret-of-callers",),
        "wallet": ("wallet-secret-of-callers",),
        "ops": ("ops-secret-of-callers",),
    }
    journey = config.journey
    assert journey.timezone.key == "Asia/Almaty"
    assert (journey.answer_days, journey.repeats, journey.grace) == (3, 1, timedelta(minutes=10))
    assert (journey.send_window.opens, journey.send_window.closes) == (
        timedelta(hours=9),
        timedelta(hours=21),
    )
    assert (journey.fallback_on_undeliverable, journey.clarify, config.replies.strict) == (False, True, False)
    service = config.services["3"]
    assert (service.code, service.agree, service.refuse) == ("3", "1", "2")
    assert service.templates == ROOT / "gateway/templates/school-meals"
    assert (config.mcb.batch, config.mcb.concurrency, config.mcb.timeout) == (1, 32, timedelta(seconds=5))
    assert (config.wallet.concurrency, config.wallet.timeout) == (32, timedelta(seconds=5))
    assert (config.sdu.url, config.sdu.token, config.sdu.signing_secret, config.sdu.batch) == (
        "",
        "",
        "",
        500,
    )
    (link,) = config.links
    assert (link.bind, link.sessions, link.window, link.tps) == ("transceiver", 1, 100, 100)
    assert (link.prefixes, link.operators, link.fallback, link.default) == ((), (), (), False)
    assert (link.long_messages, link.receipts, link.default_alphabet) == ("udh8", "last", "gsm7")
    assert (link.message_id, link.statuses, link.tls, link.system_type) == ("auto", {}, False, "")
    assert (link.service_type, link.dest_ton, link.dest_npi, link.validity_period) == ("", 1, 1, {})
    assert (link.interface_version, link.address_range) == (0x34, Address(addr="", ton=0, npi=0))
    assert link.enquire_link == link.response_timeout == timedelta(seconds=30)
    assert (config.privacy.keep_days, config.log.level) == (1095, "info")


def test_the_example_configuration_is_valid_and_complete() -> None:
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    config = load(ROOT / "config.toml", environ=SECRETS)
    assert config.links[0].prefixes == ("701", "702", "775", "778")
    # Every key shown in a comment is a valid key.
    shown = re.sub(r"(?m)^# (?=\w+ = )", "", text)
    keys = {(table, key) for table, value in tomllib.loads(shown).items() for key in _keys(value)}
    for table, fields in (
        ("links", config.links[0]),
        ("http", config.http),
        ("services", config.services["3"]),
    ):
        expected = set(fields.__slots__) - ({"code"} if table == "services" else set())
        assert expected <= {key for where, key in keys if where == table}


def _keys(value: Any) -> set[str]:
    match value:
        case dict() if all(isinstance(inner, dict) for inner in value.values()):
            return set().union(*(_keys(inner) for inner in value.values()))
        case dict():
            return set(value)
        case _:
            return set().union(*(_keys(inner) for inner in value))


def test_the_configured_time_zone_is_read_from_the_tzdata_package() -> None:
    zone = load(ROOT / "config.toml", environ=SECRETS).journey.timezone
    assert isinstance(zone, ZoneInfo)
    assert zone is not ZoneInfo("Asia/Almaty")


def test_gateway_database_overrides_the_configured_database(tmp_path: Path) -> None:
    address = "postgresql://gateway:database-secret@db/gateway"
    config = read(tmp_path, MINIMAL, {**SECRETS, "GATEWAY_DATABASE": address})
    assert config.gateway.database == address
    assert not config.gateway.embedded


def test_the_default_node_name_is_host_and_process_id(tmp_path: Path) -> None:
    assert re.fullmatch(r".+-\d+", read(tmp_path, MINIMAL).gateway.node)
    assert read(tmp_path, MINIMAL + '[gateway]\nnode = "a-1"').gateway.node == "a-1"


def test_the_schema_is_that_of_the_role_unless_one_is_named(tmp_path: Path) -> None:
    for written in ("", '[gateway]\nschema = ""'):
        assert read(tmp_path, MINIMAL + written).gateway.schema is None
    for name in ("almaty", "public", "user", "_region_7", "pgx", "a" * 63):
        assert read(tmp_path, MINIMAL + f'[gateway]\nschema = "{name}"').gateway.schema == name


def test_a_secret_from_a_file_has_no_line_end(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n", encoding="utf-8")
    assert read(tmp_path, altered("env:KCELL_PASSWORD", "file:password")).links[0].password == "from-file"


def test_any_string_value_may_come_from_the_environment(tmp_path: Path) -> None:
    config = read(tmp_path, altered('"1414"', '"env:SOURCE"'), {**SECRETS, "SOURCE": "1415"})
    assert config.links[0].source == "1415"


def test_a_secret_that_looks_like_a_reference_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("$KCELL", encoding="utf-8-sig")
    config = read(tmp_path, altered("env:KCELL_PASSWORD", "file:password"))
    assert config.links[0].password == "$KCELL"


def test_a_byte_order_mark_is_no_part_of_the_configuration(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + MINIMAL) == read(tmp_path, MINIMAL)


def test_a_role_may_have_several_tokens_during_a_rotation(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        MINIMAL + '[http.tokens]\nops = ["env:NEW", "the-old-ops-token"]',
        {**SECRETS, "NEW": "the-new-ops-token"},
    )
    assert config.http.tokens["ops"] == ("the-new-ops-token", "the-old-ops-token")


def test_tps_0_turns_pacing_off(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL + "tps = 0").links[0].tps == 0


def test_a_link_has_the_fields_that_its_operator_requires(tmp_path: Path) -> None:
    more = """
service_type = "CMT"
interface_version = 0x33
address_range = "^1414$"
address_ton = 3
address_npi = 9
dest_ton = 2
dest_npi = 8
validity_period = { request = "3d", clarify = "90m" }
"""
    (link,) = read(tmp_path, MINIMAL + more).links
    assert (link.service_type, link.interface_version, link.dest_ton, link.dest_npi) == ("CMT", 0x33, 2, 8)
    assert link.address_range == Address(addr="^1414$", ton=3, npi=9)
    assert link.validity_period == {"request": timedelta(days=3), "clarify": timedelta(minutes=90)}


def test_keys_of_statuses_are_decimal_or_hexadecimal(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL + 'statuses = { 0x58 = "busy", 1025 = "accepted", 0x40B = "link" }')
    assert config.links[0].statuses == {0x58: "busy", 1025: "accepted", 0x40B: "link"}


@pytest.mark.parametrize(
    ("source", "ton", "npi"), [("1414", 3, 0), ("eGov", 5, 0), ("77011234567", 1, 1), ("+77011234567", 1, 1)]
)
def test_the_default_ton_and_npi_follow_the_form_of_the_source(
    tmp_path: Path, source: str, ton: int, npi: int
) -> None:
    (link,) = read(tmp_path, altered('"1414"', f'"{source}"')).links
    assert (link.source_ton, link.source_npi) == (ton, npi)
    assert link.source_address == Address(addr=source, ton=ton, npi=npi)


def test_source_ton_and_source_npi_override_the_numbering_of_the_source(tmp_path: Path) -> None:
    (link,) = read(tmp_path, MINIMAL + "source_ton = 4\nsource_npi = 8").links
    assert link.source_address == Address(addr="1414", ton=4, npi=8)


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("0s", timedelta(0)),
        ("250ms", timedelta(milliseconds=250)),
        ("2m", timedelta(minutes=2)),
        ("3h", timedelta(hours=3)),
        ("1d", timedelta(days=1)),
    ],
)
def test_a_duration_is_a_number_and_its_unit(tmp_path: Path, written: str, length: timedelta) -> None:
    assert read(tmp_path, MINIMAL + f'[journey]\ngrace = "{written}"').journey.grace == length


def test_the_repr_of_a_configuration_has_no_secrets(tmp_path: Path) -> None:
    text = MINIMAL + (
        '[sdu]\nurl = "https://sdu"\ntoken = "push-secret"\nsigning_secret = "whsec_c2lnbmluZw=="\n'
        '[gateway]\ndatabase = "postgresql://gateway:database-secret@db/gateway"\n'
    )
    shown = repr(read(tmp_path, text))
    for secret in (*SECRETS.values(), "push-secret", "whsec_", "database-secret"):
        assert secret not in shown


def test_a_configuration_is_loaded_without_secrets_on_request(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL, {}, secrets=False)
    assert config.links[0].password == ""
    assert config.http.tokens["ops"] == ("",)
    assert config.http.port == 8080


def test_all_faults_of_a_configuration_are_reported_one_line_each(tmp_path: Path) -> None:
    refused = refusal(tmp_path, MINIMAL + 'tps = -1\ncolour = "red"\n[http]\nport = 70000', {})
    assert str(refused).count("\n") == len(refused.errors) - 1
    assert {
        "links.kcell.tps",
        "links.kcell.colour",
        "http.port",
        "http.tokens.sdu",
        "links.kcell.password",
    } <= {error.key for error in refused.errors}
    assert refused.key == refused.errors[0].key
    assert ConfigError("a", "b").errors[0].message == "b"


def test_a_misspelled_key_gets_a_suggestion(tmp_path: Path) -> None:
    assert (
        str(refusal(tmp_path, MINIMAL + 'sorce = "1"')) == "links.kcell.sorce: unknown key; did you mean source?"
    )


def test_an_unknown_key_is_reported_in_every_table_beside_the_other_faults_there(tmp_path: Path) -> None:
    others = ("gateway", "clock", "http", "http.tokens", "journey", "replies", "sdu", "privacy", "log")
    text = altered("port = 2775", "port = 0") + "".join(f"[{table}]\n" for table in others)
    refused = refusal(tmp_path, re.sub(r"(?m)^(\[.+\])$", r"\1\nextra = 1", text))
    tables = {*others, "services.3", "mcb", "wallet", "links.kcell"}
    keys = [error.key for error in refused.errors]
    assert sorted(keys) == sorted({"links.kcell.port", *(f"{table}.extra" for table in tables)})
    assert keys.index("links.kcell.extra") == keys.index("links.kcell.port") + 1


def test_a_key_is_a_fault_unless_something_has_read_it() -> None:
    root = Table({"http": {"port": 1, "tokens": {"sdu": "x"}}}, "", Source(directory=Path()))
    http = root.table("http")
    http.whole("port", least=0, most=9)
    http.table("tokens")
    assert [error.key for error in root.faults()] == ["http.tokens.sdu"]


FAULTS = [
    # unknown keys
    (MINIMAL + "[gatway]", "gatway", "did you mean gateway"),
    (MINIMAL + '[gateway]\ndatabse = "embedded"', "gateway.databse", "did you mean database"),
    (MINIMAL + 'extra = "x"', "links.kcell.extra", "remove it"),
    (MINIMAL + '[http.tokens]\nadmin = "x"', "http.tokens.admin", "unknown key"),
    # what must not be left out
    (altered('host = "127.0.0.1"\n', ""), "links.kcell.host", "required"),
    (altered('name = "kcell"\n', ""), "links[0].name", "required"),
    (altered('source = "1414"\n', ""), "links.kcell.source", "required"),
    (altered("port = 2775\n", ""), "links.kcell.port", "required"),
    (altered('password = "env:KCELL_PASSWORD"\n', ""), "links.kcell.password", "required"),
    (altered('link = "https://example.kz/wallet"\n', ""), "services.3.link", "required"),
    (altered('url = "http://127.0.0.1:9101"\n', ""), "mcb.url", "required"),
    (altered('url = "http://127.0.0.1:9102"\n', ""), "wallet.url", "required"),
    (altered('token = "env:GATEWAY_MCB_TOKEN"\n', ""), "mcb.token", "required"),
    (MINIMAL.split("[[links]]")[0], "links", "at least one"),
    ("[mcb]" + MINIMAL.split("[mcb]")[1], "services", "at least one"),
    (MINIMAL + '[sdu]\nurl = "https://sdu"\ntoken = "t"', "sdu.signing_secret", "required"),
    (MINIMAL + '[sdu]\nurl = "https://sdu"\nsigning_secret = "whsec_MTIz"', "sdu.token", "required"),
    # secrets
    (altered("env:KCELL_PASSWORD", "env:NOT_SET"), "links.kcell.password", "NOT_SET is not set"),
    (altered("env:GATEWAY_MCB_TOKEN", "file:no-such-file"), "mcb.token", "cannot read"),
    (altered("env:GATEWAY_MCB_TOKEN", ""), "mcb.token", "must not be empty"),
    (MINIMAL + '[http.tokens]\nops = "env:NOT_SET"', "http.tokens.ops", "NOT_SET is not set"),
    *(
        (MINIMAL + f"[http.tokens]\nops = '{token}'", "http.tokens.ops", expected)
        for token, expected in {
            "env:": "refers to nothing; write env: and the NAME",
            "file:": "refers to nothing; write file: and the PATH",
            "env: ": "refers to nothing",
            "ENV:GATEWAY_OPS_TOKEN": "looks like a reference",
            "${GATEWAY_OPS_TOKEN}": "looks like a reference",
            "$X": "looks like a reference",
            "env:IN_ITSELF": "looks like a reference",
            " ": "must not be empty",
            "a token with spaces in it": "without spaces",
        }.items()
    ),
    (altered("env:KCELL_PASSWORD", "$KCELL"), "links.kcell.password", "looks like a reference"),
    (altered('"127.0.0.1"', '"env:"'), "links.kcell.host", "refers to nothing"),
    (MINIMAL + "[http.tokens]\nops = []", "http.tokens.ops", "not an empty array"),
    (MINIMAL + '[http.tokens]\nops = ["a", 7]', "http.tokens.ops", "must be a string"),
    (
        MINIMAL + '[http.tokens]\nops = "the-same-token-1"\nsdu = ["the-other-token-1", "the-same-token-1"]',
        "http.tokens.ops",
        "a token has one role",
    ),
    (
        MINIMAL + '[sdu]\nurl = "https://sdu"\ntoken = "t"\nsigning_secret = "plain"',
        "sdu.signing_secret",
        "whsec_",
    ),
    # types
    (MINIMAL + 'tps = "100"', "links.kcell.tps", "must be a number, not '100'"),
    (MINIMAL + "window = 1.5", "links.kcell.window", "must be a whole number, not 1.5"),
    (MINIMAL + "window = true", "links.kcell.window", "not true"),
    (MINIMAL + 'default = "yes"', "links.kcell.default", "true or false"),
    (MINIMAL + 'prefixes = "701"', "links.kcell.prefixes", "array of strings"),
    (altered("[mcb]\n", "[mcb]\nbatch = {}\n"), "mcb.batch", "not a table"),
    (MINIMAL.replace("[[links]]", "[links]"), "links", "write [[links]]"),
    ("http = 1\n" + MINIMAL, "http", "must be a table"),
    (altered('"127.0.0.1"', "127"), "links.kcell.host", "must be a string"),
    # ranges
    (MINIMAL + "tps = -1", "links.kcell.tps", "from 0"),
    (MINIMAL + "tps = nan", "links.kcell.tps", "from 0"),
    (MINIMAL + "window = 0", "links.kcell.window", "from 1"),
    (MINIMAL + "sessions = 0", "links.kcell.sessions", "from 1"),
    (altered("port = 2775", "port = 70000"), "links.kcell.port", "from 1 to 65535"),
    (MINIMAL + "[http]\nport = -1", "http.port", "from 0 to 65535"),
    (MINIMAL + "[http]\nmax_list_bytes = 0", "http.max_list_bytes", "from 1"),
    (MINIMAL + "[clock]\nrate = 0", "clock.rate", "from 0.001"),
    (MINIMAL + "[journey]\nanswer_days = 0", "journey.answer_days", "from 1"),
    (MINIMAL + "[journey]\nrepeats = -1", "journey.repeats", "from 0"),
    (MINIMAL + "[journey]\nrepeats = 15", "journey.repeats", "to 14"),
    (MINIMAL + "[privacy]\nkeep_days = -1", "privacy.keep_days", "from 1"),
    (MINIMAL + "[privacy]\nkeep_days = 0", "privacy.keep_days", "from 1"),
    (altered("[mcb]\n", "[mcb]\nbatch = 0\n"), "mcb.batch", "from 1"),
    (altered("[wallet]\n", "[wallet]\nconcurrency = 0\n"), "wallet.concurrency", "from 1"),
    # what two links claim, what a file stands in the way of
    (
        MINIMAL + 'prefixes = ["701"]' + SECOND + 'prefixes = ["702", "701"]',
        "links.tele2.prefixes",
        "'701' is claimed",
    ),
    (MINIMAL + SECOND + 'operators = ["KCELL"]', "links.tele2.operators", "'kcell' is claimed by links.kcell too"),
    (MINIMAL + '[gateway]\ndata_dir = "config.toml"', "gateway.data_dir", "config.toml is not a folder"),
    (MINIMAL + '[gateway]\ndata_dir = "config.toml/var"', "gateway.data_dir", "config.toml is not a folder"),
    # forms
    (MINIMAL + 'bind = "receiver"', "links.kcell.bind", "transceiver, transmitter+receiver"),
    (MINIMAL + 'long_messages = "udh"', "links.kcell.long_messages", "udh8, udh16, sar, payload"),
    (MINIMAL + 'receipts = "some"', "links.kcell.receipts", "last, first, all, none"),
    (MINIMAL + 'default_alphabet = "utf8"', "links.kcell.default_alphabet", "gsm7"),
    (MINIMAL + 'message_id = "hex"', "links.kcell.message_id", "hex-to-dec"),
    (MINIMAL + 'enquire_link = "30"', "links.kcell.enquire_link", 'such as "30s"'),
    (MINIMAL + "response_timeout = 30", "links.kcell.response_timeout", "must be a string"),
    (MINIMAL + 'response_timeout = "0s"', "links.kcell.response_timeout", "from 1ms"),
    (MINIMAL + 'prefixes = ["7O1"]', "links.kcell.prefixes", "'7O1'"),
    (MINIMAL + 'prefixes = ["7011"]', "links.kcell.prefixes", "three digits"),
    (MINIMAL + 'statuses = { 0x58 = "slow" }', "links.kcell.statuses.0x58", "throttled"),
    (MINIMAL + 'statuses = { ESME_RTHROTTLED = "busy" }', "links.kcell.statuses.ESME_RTHROTTLED", "0x58"),
    (MINIMAL + 'service_type = "TOOLONG"', "links.kcell.service_type", "at most 5"),
    (MINIMAL + 'service_type = "C T"', "links.kcell.service_type", "ASCII"),
    (MINIMAL + f'address_range = "{"1" * 41}"', "links.kcell.address_range", "at most 40"),
    (MINIMAL + "address_ton = 256", "links.kcell.address_ton", "from 0 to 255"),
    (MINIMAL + "address_npi = -1", "links.kcell.address_npi", "from 0 to 255"),
    (MINIMAL + "interface_version = 340", "links.kcell.interface_version", "from 0 to 255"),
    (MINIMAL + 'interface_version = "3.4"', "links.kcell.interface_version", "whole number"),
    (MINIMAL + "dest_ton = 256", "links.kcell.dest_ton", "from 0 to 255"),
    (MINIMAL + "dest_npi = 256", "links.kcell.dest_npi", "from 0 to 255"),
    (MINIMAL + 'validity_period = "3d"', "links.kcell.validity_period", "must be a table"),
    (MINIMAL + 'validity_period = { request = "31d" }', "links.kcell.validity_period.request", "from 1m to 30d"),
    (MINIMAL + 'validity_period = { agreed = "5s" }', "links.kcell.validity_period.agreed", "from 1m"),
    (MINIMAL + 'validity_period = { agreed = "60500ms" }', "links.kcell.validity_period.agreed", "whole seconds"),
    (MINIMAL + 'validity_period = { text1 = "3d" }', "links.kcell.validity_period.text1", "request, repeat"),
    (MINIMAL + 'validity_period = { menu = "3d" }', "links.kcell.validity_period.menu", "request, repeat"),
    (altered('"gateway"', '"a-system-id-of-20-chr"'), "links.kcell.system_id", "1 to 15"),
    (altered('"1414"', '"Тамақ"'), "links.kcell.source", "ASCII"),
    (MINIMAL + '[journey]\ntimezone = "Asia/Atlantis"', "journey.timezone", "Asia/Atlantis"),
    (MINIMAL + '[journey]\nsend_window = "21:00-09:00"', "journey.send_window", "within one day"),
    (MINIMAL + '[journey]\nsend_window = "9-21"', "journey.send_window", "HH:MM-HH:MM"),
    (MINIMAL + '[journey]\ngrace = "ten minutes"', "journey.grace", "whole number and ms"),
    (MINIMAL + '[log]\nlevel = "verbose"', "log.level", "debug, info, warning, error"),
    (MINIMAL + '[gateway]\ndatabase = "mysql://db"', "gateway.database", "postgresql://"),
    (MINIMAL + '[gateway]\nnode = "a b"', "gateway.node", "letters"),
    *(
        (MINIMAL + f'[gateway]\nschema = "{name}"', "gateway.schema", "1 to 63 lower-case letters")
        for name in (
            "Almaty",
            "7th",
            "a-b",
            'a\\"b',
            "a" * 64,
            "pg_catalog",
            "pg_",
            "information_schema",
            "алматы",
            "a\\n",
        )
    ),
    (altered("http://127.0.0.1:9101", "127.0.0.1:9101"), "mcb.url", "http://"),
    (altered("http://127.0.0.1:9101", "http://user:pass@mcb"), "mcb.url", "without user"),
    (altered("http://127.0.0.1:9101", "http://mcb:port"), "mcb.url", "address"),
    (altered("[services.3]", "[services.meals]"), "services.meals", "1 to 6 digits"),
    # things that do not go together
    (MINIMAL.replace("[mcb]", 'refuse = "1"\n[mcb]'), "services.3.refuse", "differ from agree"),
    (MINIMAL.replace("[mcb]", 'agree = "10"\n[mcb]'), "services.3.agree", "one digit"),
    (altered('"school-meals"', '"no-such-texts"'), "services.3.templates", "is not a folder"),
    (MINIMAL.replace("[mcb]", 'templates = "."\n[mcb]'), "services.3.templates", "request.kk.txt"),
    (MINIMAL.replace("[mcb]", 'templates = "nowhere"\n[mcb]'), "services.3.templates", "is not a folder"),
    (MINIMAL + MINIMAL[MINIMAL.index("[[links]]") :], "links.kcell.name", "stands there twice"),
    (MINIMAL + 'fallback = ["beeline"]', "links.kcell.fallback", "no link 'beeline'"),
    (MINIMAL + 'fallback = ["kcell"]', "links.kcell.fallback", "not the link itself"),
    (
        MINIMAL
        + "default = true\n"
        + MINIMAL[MINIMAL.index("[[links]]") :].replace("kcell", "b")
        + "default = true",
        "links.b.default",
        "kcell has it already",
    ),
    (MINIMAL + 'ca = "ca.crt"', "links.kcell.ca", "is not a file"),
    (MINIMAL + '[http]\ntls_cert = "config.toml"', "http.tls_key", "required beside tls_cert"),
    (MINIMAL + '[http]\ntls_key = "config.toml"', "http.tls_cert", "required beside tls_key"),
    (MINIMAL + '[http]\nclient_ca = "config.toml"', "http.client_ca", "needs tls_cert"),
    (MINIMAL + 'tls_cert = "config.toml"\ntls_key = "config.toml"', "links.kcell.tls_cert", "needs tls = true"),
    (MINIMAL + f'ca = "{"x" * 300}"', "links.kcell.ca", "is not a file"),
    (altered("link =", f'templates = "{"x" * 300}"\nlink ='), "services.3.templates", "is not a folder"),
    (MINIMAL + "tps = 0x1" + "0" * 300, "links.kcell.tps", "not a number of more than 64 bits"),
    (MINIMAL + "window = 0x1" + "0" * 5000, "links.kcell.window", "not a number of more than 64 bits"),
    (MINIMAL + '"a\\nb\\u202e" = 1', "links.kcell.a\\nb\\u202e", "unknown key"),
    (MINIMAL + f'"{"k" * 5000}" = 1', f"links.kcell.{'k' * 187}…", "unknown key"),
    (MINIMAL + 'ca = "a\\nb"', "links.kcell.ca", "a\\nb is not a file"),
    (MINIMAL + '[journey]\ntimezone = "Asia/../Asia/Almaty"', "journey.timezone", "must be a time zone"),
    (
        MINIMAL + '[sdu]\nurl = "http://h"\ntoken = "t"\nsigning_secret = "whsec_ключ"',
        "sdu.signing_secret",
        "must be whsec_ and base64",
    ),
]


@pytest.mark.parametrize(
    ("text", "key", "expected"), FAULTS, ids=[f"{key}-{expected[:16]}" for _, key, expected in FAULTS]
)
def test_a_fault_of_a_configuration_is_reported_by_its_key(
    tmp_path: Path, text: str, key: str, expected: str
) -> None:
    refused = refusal(tmp_path, text)
    messages = [error.message for error in refused.errors if error.key == key]
    assert any(expected in message for message in messages), str(refused)
    assert all("\n" not in str(error) for error in refused.errors)
    assert not any(secret in str(refused) for secret in SECRETS.values())


@pytest.mark.parametrize(
    "text",
    [
        altered('"gateway"', '"env:SECRET"'),
        altered('"kcell"', '"env:SECRET"'),
        altered('"1414"', '"env:SECRET"'),
        altered('"school-meals"', '"env:SECRET"'),
        altered('"http://127.0.0.1:9101"', '"env:SECRET"'),
        altered("link =", 'templates = "env:SECRET"\nlink ='),
        MINIMAL + 'ca = "env:SECRET"',
        MINIMAL + 'bind = "file:secret"',
        MINIMAL + 'give_up = "env:SECRET"',
        MINIMAL + '[journey]\ntimezone = "env:SECRET"\nsend_window = "env:SECRET"',
    ],
)
def test_a_fault_shows_no_value_that_the_file_refers_to(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text("the secret, and more", encoding="utf-8")
    refused = refusal(tmp_path, text, SECRETS | {"SECRET": "the secret, and more"})
    assert "secret, and" not in str(refused)
    assert "SECRET'" in str(refused) or "file:secret" in str(refused) or ".url" in str(refused)


def test_an_invalid_database_address_is_reported_without_its_password(tmp_path: Path) -> None:
    refused = refusal(tmp_path, MINIMAL, {**SECRETS, "GATEWAY_DATABASE": "mysql://u:database-secret@db"})
    assert refused.key == "gateway.database"
    assert "database-secret" not in str(refused)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[http", "is not TOML"),
        (b"a = " + b"9" * 5000, "is not TOML"),
        (b"a = " + b"[" * 5000, "has arrays or tables that are nested too deep"),
        (b"a.a" + b".a" * 5000 + b" = 1\na = " + b"{a=" * 5000, "has arrays or tables that are nested too deep"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (None, "cannot be read"),
    ],
)
def test_the_error_for_an_unreadable_configuration_names_the_file(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{path}: {expected}")):
        load(path)
