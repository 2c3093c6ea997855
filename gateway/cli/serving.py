"""`gateway serve`. It imports no other command: what a gateway imports, it keeps in memory for months."""

import argparse
import errno
import os
from argparse import Namespace

import uvloop

from gateway import app
from gateway.cli.commands import add_command
from gateway.cli.errors import CommandError
from gateway.config import Config, load
from gateway.logs import log
from gateway.metrics import LOG_LINES_DROPPED
from gateway.store.database import DatabaseError


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    command = add_command(commands, "serve", serve, "run the gateway until SIGTERM", config=True)
    command.add_argument("--migrate", action="store_true", help="migrate an external database first")


def serve(arguments: Namespace) -> int:
    """Runs the gateway until SIGTERM; its exit status."""
    config = load(arguments.config)
    log.configure(config.log.level, node=config.gateway.node)
    log.capture_interpreter_warnings()
    with log.written_by_a_thread(lambda level: LOG_LINES_DROPPED.labels(level).inc()):
        try:
            return uvloop.run(app.serve(config, migrate=arguments.migrate))
        except DatabaseError as error:
            raise CommandError(str(error)) from None
        except Exception as error:
            log.get_logger().critical(log.Event.FAILED, exc_info=error)
            raise CommandError(_reason(error, config)) from None


def _reason(error: BaseException, config: Config) -> str:
    """The error in one line; the log has the rest."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
        return f"cannot serve on {config.http.host}:{config.http.port}: {os.strerror(error.errno)}"
    return f"the gateway failed ({type(error).__name__}); see its log"
