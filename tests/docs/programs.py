"""The commands and programs of the pages, and how they are run."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

PARTNERS = Path(__file__).parents[2] / "docs" / "partners"
RUN_WITHIN_SECONDS = 60.0


def blocks(page: str, language: str) -> list[str]:
    """The page's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


async def run(*command: str, environment: Mapping[str, str], cwd: Path = PARTNERS) -> str:
    """What the command prints; it must end with 0."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(RUN_WITHIN_SECONDS):
        output, errors = await process.communicate()
    assert process.returncode == 0, (output + errors).decode()
    return output.decode()
