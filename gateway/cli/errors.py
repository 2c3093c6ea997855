"""Why a command is not carried out."""


class CommandError(Exception):
    """A command cannot be carried out. The message is one line that says what to do."""
