"""The files that `gateway init` writes: config.toml with the example's comments, and the secrets beside it."""

import json
import os
import re
import secrets
import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.errors import CommandError
from gateway.cli.init_questions import LINKS, TOKENS, YES
from gateway.resources import EXAMPLE_CONFIG

FOLDER = "secrets"
"""The folder of secrets beside config.toml; mode 0700, the files in it 0600."""
_REFERENCE = re.compile(r"(env|file):.+")
_TOKEN_BYTES = 32
_CALLERS = ("sdu", "wallet", "ops")
_NUMBERS = frozenset(("port", "tps"))
_LINK_HEADER = "[[links]]"


class Files:
    """The text of config.toml and the secrets that it refers to; nothing is written before `write`."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.secrets: dict[str, str] = {}
        """The secrets by the names of their files in FOLDER."""
        self.generated: list[str] = []
        """The secrets that are tokens made here: a file that exists already is kept."""
        self.text = self._configuration(answers)

    def check(self, config: Path, *, force: bool) -> None:
        """Raises CommandError when a file would be overwritten."""
        typed = [config.parent / FOLDER / name for name in self.secrets if name not in self.generated]
        for path in (config, *typed):
            if os.path.lexists(path) and not force:
                raise CommandError(f"{path} exists: name another place by --config, or overwrite it by --force")

    def write(self, config: Path) -> list[Path]:
        """Writes the files, each as a whole; those of the secrets that were written."""
        folder, written = config.parent / FOLDER, []
        try:
            if self.secrets:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, value in self.secrets.items():
                if name in self.generated and os.path.lexists(folder / name):
                    continue
                _write(folder / name, f"{value}\n")
                written.append(folder / name)
            _write(config, self.text)
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be written: {error.strerror}") from None
        return written

    def _configuration(self, answers: Mapping[str, Any]) -> str:
        general, link_lines = _example()
        for key, answer in answers.items():
            table, _, name = key.rpartition(".")
            if key in (LINKS, TOKENS):
                continue
            _put(general, f"[{table}]", name, self._value(key, name, answer))
        if answers[TOKENS] == YES:
            for caller in _CALLERS:
                reference = self._kept(f"{caller}-token", secrets.token_hex(_TOKEN_BYTES), generated=True)
                _put(general, "[http.tokens]", caller, json.dumps(reference))
        first, *others = answers[LINKS]
        lines = [_LINK_HEADER, *link_lines]
        for name, answer in first.items():
            _put(lines, _LINK_HEADER, name, self._value(f"{first['name']}.{name}", name, answer))
        for link in others:
            values = {name: self._value(f"{link['name']}.{name}", name, answer) for name, answer in link.items()}
            lines += [_LINK_HEADER, *(f"{name} = {value}" for name, value in values.items()), ""]
        before, after = _split_at_links(general)
        return "\n".join([*before, *lines, *after]) + "\n"

    def _value(self, key: str, name: str, answer: str) -> str:
        """The TOML of an answer; a secret that is no reference moves into a file."""
        if name == "prefixes":
            return json.dumps([one.strip() for one in answer.split(",") if one.strip()])
        if name in _NUMBERS:
            return answer.lstrip("0") or "0" if answer.isdigit() else answer
        if name in ("token", "password", "signing_secret") and not _REFERENCE.fullmatch(answer):
            return json.dumps(self._kept(key.replace(".", "-"), answer))
        if name == "database" and "://" in answer and urlsplit(answer).password:
            return json.dumps(self._kept("database", answer))
        return json.dumps(answer, ensure_ascii=False)

    def _kept(self, name: str, value: str, *, generated: bool = False) -> str:
        """Keeps the value in a file; the reference to it."""
        self.secrets[name] = value
        if generated:
            self.generated.append(name)
        return f"file:{FOLDER}/{name}"


def new_signing_secret() -> str:
    """A secret as Standard Webhooks writes it."""
    return f"whsec_{b64encode(secrets.token_bytes(_TOKEN_BYTES)).decode()}"


def _example() -> tuple[list[str], list[str]]:
    """The lines of the example without its link, and the lines of that link."""
    lines = EXAMPLE_CONFIG.read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(_LINK_HEADER))
    end = next((i for i, line in enumerate(lines) if i > begin and line.startswith("[")), len(lines))
    return lines[: begin + 1] + lines[end:], lines[begin + 1 : end]


def _split_at_links(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    at = next(i for i, line in enumerate(lines) if line.startswith(_LINK_HEADER))
    return list(lines[:at]), list(lines[at + 1 :])


def _put(lines: list[str], header: str, name: str, value: str) -> None:
    """Replaces the value of a key of a table; its comment stays."""
    at = next(i for i, line in enumerate(lines) if line.startswith(header)) + 1
    for i in range(at, len(lines)):
        if lines[i].startswith("["):
            break
        if re.match(rf"{name} *=", lines[i]):
            _, hash_, comment = lines[i].partition(" #")
            lines[i] = f"{f'{name} = {value}':<31}{hash_}{comment}" if hash_ else f"{name} = {value}"
            return
    raise AssertionError(f"the example has no {header} {name}")


def _write(path: Path, text: str) -> None:
    """Replaces or makes the file, for its owner alone, as a whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
