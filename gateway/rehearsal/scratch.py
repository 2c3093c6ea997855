"""`config.toml` of the scratch gateway: the journey, texts and links of the real one, between simulated partners.

Nothing of it leads out of the machine: hosts, addresses, passwords and tokens are those of the simulators.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.config import Config, Link
from gateway.simulators.configuration import caller_tokens, config_toml, partner_tables


def scratch_configuration(
    config: Config,
    directory: Path,
    *,
    rate: float,
    partners: Mapping[str, str],
    ports: Mapping[str, int],
    token: str,
    password: str,
    secret: str,
) -> str:
    """The text of the file. `ports`: of the simulated SMSCs by link; links are not paced: the plan has hours."""
    journey = config.journey
    window = journey.send_window
    tables = partner_tables(partners, token=token, secret=secret)
    tables["mcb"]["batch"] = config.mcb.batch
    return config_toml(
        gateway={"node": "rehearsal", "data_dir": str(directory)},
        clock={"rate": rate},
        http={"port": 0, "max_list_bytes": config.http.max_list_bytes, "tokens": caller_tokens(token)},
        journey={
            "timezone": journey.timezone.key,
            "answer_days": journey.answer_days,
            "repeats": journey.repeats,
            "grace": f"{journey.grace // timedelta(milliseconds=1)}ms",
            "send_window": f"{_clock(window.opens)}-{_clock(window.closes)}",
            "fallback_on_undeliverable": journey.fallback_on_undeliverable,
            "clarify": journey.clarify,
        },
        replies={"strict": config.replies.strict},
        services={
            code: {
                "name": service.name,
                "agree": service.agree,
                "refuse": service.refuse,
                "link": service.link,
                "templates": str(service.templates.resolve()),
            }
            for code, service in config.services.items()
        },
        **tables,
        links=[_link(link, ports[link.name], password) for link in config.links],
    )


def _link(link: Link, port: int, password: str) -> dict[str, Any]:
    return {
        "name": link.name,
        "port": port,
        "password": password,
        "bind": link.bind.value,
        "sessions": link.sessions,
        "source": link.source,
        "source_ton": link.source_ton,
        "source_npi": link.source_npi,
        "window": link.window,
        "tps": 0,
        "prefixes": list(link.prefixes),
        "operators": list(link.operators),
        "default": link.default,
        "fallback": list(link.fallback),
        "long_messages": link.long_messages.value,
        "receipts": link.receipts,
    }


def _clock(time: timedelta) -> str:
    minutes = int(time.total_seconds()) // 60
    return f"{minutes // 60:02}:{minutes % 60:02}"
