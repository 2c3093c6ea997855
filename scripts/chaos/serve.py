"""`gateway serve` with shorter waits: those of links, that after a copy, and that for a silent database."""

import argparse
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import uvloop

from gateway import app
from gateway.backoff import Backoff
from gateway.config import load
from gateway.config.policy import LinkPolicy, MembershipPolicy, Policy
from gateway.logs import log


def scaled(links: LinkPolicy, factor: float, pause_after_copy: timedelta) -> LinkPolicy:
    """The same policy with all waits between attempts so many times as long, and that after a copy."""
    return replace(
        links,
        reconnect=_scaled(links.reconnect, factor),
        credentials=_scaled(links.credentials, factor),
        stale_session_seconds=links.stale_session_seconds * factor,
        busy=_scaled(links.busy, factor),
        busy_pause=links.busy_pause * factor,
        first_probe_seconds=links.first_probe_seconds * factor,
        max_resend_wait_seconds=links.max_resend_wait_seconds * factor,
        pause_after_copy=pause_after_copy,
        useful_session_seconds=links.useful_session_seconds * factor,
    )


def hurried(membership: MembershipPolicy, hurry: float) -> MembershipPolicy:
    """The same policy with heartbeats, and the time after which a silence counts, so many times as short."""
    return replace(
        membership,
        heartbeat_seconds=membership.heartbeat_seconds / hurry,
        expired_after_seconds=membership.expired_after_seconds / hurry,
    )


def _scaled(backoff: Backoff, factor: float) -> Backoff:
    return Backoff(first_seconds=backoff.first_seconds * factor, max_seconds=backoff.max_seconds * factor)


def main() -> int:
    """The exit status of the gateway."""
    parser = argparse.ArgumentParser(prog="chaos.serve", description=__doc__)
    parser.add_argument("links", type=float, help="the waits of links are so many times as long")
    parser.add_argument("pause", type=float, help="seconds for which a text without UDH waits after its copy")
    parser.add_argument("hurry", type=float, help="a silent database is left so many times as soon")
    parser.add_argument("config", type=Path, help="config.toml")
    given = parser.parse_args()
    config = load(given.config)
    log.configure(config.log.level, node=config.gateway.node)
    log.capture_interpreter_warnings()
    links = scaled(LinkPolicy(), given.links, timedelta(seconds=given.pause))
    policy = Policy(links=links, membership=hurried(MembershipPolicy(), given.hurry))
    return uvloop.run(app.serve(config, policy=policy))


if __name__ == "__main__":
    raise SystemExit(main())
