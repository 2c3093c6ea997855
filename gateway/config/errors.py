"""Faults of the configuration, as they are reported: one line each, with the key."""

from collections.abc import Sequence

from gateway.limits import cut

_MAX_KEY_CHARACTERS = 200
_MAX_MESSAGE_CHARACTERS = 2_000


class ConfigError(Exception):
    """One fault of the configuration: the full key and what to do about it. Fix the file, start again.

    Both are printable, and of a line's length, whatever stands in the file.
    """

    def __init__(self, key: str, message: str) -> None:
        key, message = _line(key, _MAX_KEY_CHARACTERS), _line(message, _MAX_MESSAGE_CHARACTERS)
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message

    @property
    def errors(self) -> Sequence["ConfigError"]:
        return (self,)


class ConfigErrors(ConfigError):
    """All faults of the configuration, one line each; `key` and `message` are the first one's."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].key, errors[0].message)
        self._errors = tuple(errors)

    @property
    def errors(self) -> Sequence[ConfigError]:
        return self._errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self._errors)


def _line(text: str, most: int) -> str:
    """The text in printable characters, cut to that length."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])
    return cut(text, most)
