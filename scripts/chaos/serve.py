"""`gateway serve` with its links' waits as much shorter as `response_timeout` is with SMSCs of the field."""

import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from chaos.profiles import WAITS_SCALE
from gateway import app
from gateway.backoff import Backoff
from gateway.config import load
from gateway.config.policy import LinkPolicy, Policy
from gateway.logs import log


def scaled(links: LinkPolicy, factor: float) -> LinkPolicy:
    """The same policy with all waits between attempts so many times as long."""
    return replace(
        links,
        reconnect=_scaled(links.reconnect, factor),
        credentials=_scaled(links.credentials, factor),
        stale_session_seconds=links.stale_session_seconds * factor,
        busy=_scaled(links.busy, factor),
        busy_pause=links.busy_pause * factor,
        first_probe_seconds=links.first_probe_seconds * factor,
        max_resend_wait_seconds=links.max_resend_wait_seconds * factor,
        pause_after_copy_seconds=links.pause_after_copy_seconds * factor,
        useful_session_seconds=links.useful_session_seconds * factor,
    )


def _scaled(backoff: Backoff, factor: float) -> Backoff:
    return Backoff(first_seconds=backoff.first_seconds * factor, max_seconds=backoff.max_seconds * factor)


def main() -> int:
    """The exit status of the gateway whose config.toml is the only argument."""
    config = load(Path(sys.argv[1]))
    log.configure(config.log.level)
    log.capture_interpreter_warnings()
    policy = Policy(links=scaled(LinkPolicy(), WAITS_SCALE))
    return uvloop.run(app.serve(config, policy=policy))


if __name__ == "__main__":
    raise SystemExit(main())
