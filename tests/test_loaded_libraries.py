"""What a serving gateway loads: libraries that few need cost everyone's memory."""

import subprocess
import sys

import pytest

_PROGRAM = (
    "import gateway.cli.dispatch, sys; print(*{name.partition('.')[0] for name in sys.modules}, *sys.modules)"
)


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """Packages and modules that a gateway's process has imported when it begins."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    "name",
    ["rich", "gateway.cli.parser", "jwt", "cryptography", "opentelemetry", "gateway.simulators", "gateway.demo"],
)
def test_serving_loads_nothing_of_what_is_not_configured(loaded: list[str], name: str) -> None:
    assert "gateway.api.app" in loaded
    assert name not in loaded
