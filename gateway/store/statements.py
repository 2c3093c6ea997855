"""The single statements of an SQL file: proxies and Citus take one a call."""

import re
from collections.abc import Iterator

# What may hold a semicolon that ends nothing. A tag of a dollar quote does not begin within a name (a$b$).
_TOKEN = re.compile(
    r"""
    (?P<end> ; )
  | (?P<nested> /\* )                               # comments nest: see _after_comment
  | (?P<line> --[^\n]* )
  | (?<![\w$]) [eE]'(?: [^'\\] | \\. | '' )*(?:'|\Z)
  | '[^']*(?:'|\Z)                                  # '' within a string: two strings here
  | "[^"]*(?:"|\Z)
  | (?<![\w$]) (?P<quote> \$(?:[^\W\d]\w*)?\$ ) .*? (?:(?P=quote)|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


def split(sql: str) -> Iterator[str]:
    """The statements in order, each with the comments before it and without its semicolon.

    Knows strings, quoted names, dollar quotes and comments. Not the one other place for semicolons, a function's
    body as BEGIN ATOMIC … END: PostgreSQL rejects what is cut there.
    """
    begin = position = 0
    is_statement = False  # and not comments alone
    while (token := _TOKEN.search(sql, position)) is not None:
        is_comment = token["nested"] or token["line"]
        is_statement |= bool(sql[position : token.start()].strip()) or not (is_comment or token["end"])
        position = _after_comment(sql, token.end()) if token["nested"] else token.end()
        if token["end"]:
            if is_statement:
                yield sql[begin : token.start()].strip()
            begin, is_statement = position, False
    if is_statement or sql[position:].strip():
        yield sql[begin:].strip()


def _after_comment(sql: str, position: int) -> int:
    """Where the comment ends whose inside begins at `position`."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(sql, position)) is not None:
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position if not depth else len(sql)
