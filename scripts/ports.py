"""Ports for servers of benches, chaos runs and tests."""

import socket


def free_port() -> int:
    """A TCP port of localhost that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
