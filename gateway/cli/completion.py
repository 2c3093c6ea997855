"""`gateway completion`: a script for bash, zsh or fish, made from the parser: it knows every command."""

import argparse
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_PROGRAM = "gateway"
_SHOWN_CHARACTERS = 80  # of an explanation
_METAVAR_OF_FILES = "FILE"


class _Option(NamedTuple):
    """One option, under all its names."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]
    is_file: bool


class _Command(NamedTuple):
    """A command, by the words that lead to it: `gateway simulate smsc`."""

    path: str
    options: tuple[_Option, ...]
    choices: tuple[tuple[str, str], ...]  # what may follow, with explanations
    takes_file: bool


def add_options(command: ArgumentParser, program: ArgumentParser) -> None:
    """Adds the argument of `gateway completion`; `program` is the parser that it completes."""
    command.add_argument("shell", choices=tuple(_SCRIPTS), help="the script is written to standard output")
    command.set_defaults(program=program)


def run(arguments: Namespace) -> int:
    """Prints the script."""
    sys.stdout.write(_SCRIPTS[arguments.shell](list(_commands(arguments.program, _PROGRAM))))
    return 0


def _commands(parser: ArgumentParser, path: str) -> Iterator[_Command]:
    """The command of the parser, then those below it."""
    options, choices, takes_file = [], [], False
    below: dict[str, ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = action.choices
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            choices += [(name, _shown(helps.get(name, ""))) for name in below]
        elif action.option_strings:
            options.append(_option(action))
        else:
            choices += [(str(choice), "") for choice in action.choices or ()]
            takes_file = takes_file or _is_file(action)
    yield _Command(path, tuple(options), tuple(choices), takes_file)
    for name, one in below.items():
        yield from _commands(one, f"{path} {name}")


def _option(action: argparse.Action) -> _Option:
    return _Option(
        names=tuple(action.option_strings),
        help=_shown((action.help or "") % {"default": action.default}),
        takes_value=action.nargs != 0,
        choices=tuple(map(str, action.choices or ())),
        is_file=_is_file(action),
    )


def _is_file(action: argparse.Action) -> bool:
    return action.metavar == _METAVAR_OF_FILES or action.type is Path


def _shown(text: str) -> str:
    return text[:_SHOWN_CHARACTERS].replace("\n", " ")


def _bash(commands: list[_Command]) -> str:
    after, within = [], []
    for one in commands:
        for option in one.options:
            if option.takes_value:
                found = (
                    f"files=1; words={_quoted(option.choices)}"
                    if option.is_file
                    else f"words={_quoted(option.choices)}"
                )
                after.append(f"    {_after(one, option)}) {found}; value=1;;")
        names = [name for option in one.options for name in option.names]
        follow = [name for name, _ in one.choices]
        known = f"options={_quoted(names)}; words={_quoted(follow)}; files={int(one.takes_file)}"
        within.append(f"    {shlex.quote(one.path)}) {known};;")
    return _BASH.format(below=_below(commands), after="\n".join(after), within="\n".join(within))


def _zsh(commands: list[_Command]) -> str:
    after, within = [], []
    for one in commands:
        for option in one.options:
            if option.takes_value:
                words = " ".join(map(shlex.quote, option.choices))
                found = "_files" if option.is_file else f"compadd -- {words}" if words else "_message value"
                after.append(f"    ({_after(one, option)}) {found}; return;;")
        options = " ".join(_described(name, option.help) for option in one.options for name in option.names)
        follow = " ".join(_described(name, text) for name, text in one.choices)
        files = int(one.takes_file)
        within.append(f"    ({shlex.quote(one.path)}) options=({options}); follow=({follow}); files={files};;")
    return _ZSH.format(below=_below(commands), after="\n".join(after), within="\n".join(within))


def _fish(commands: list[_Command]) -> str:
    lines = []
    for one in commands:
        begin = f"complete -c {_PROGRAM} -n {shlex.quote(f'__gateway_at {shlex.quote(one.path)}')}"
        if one.takes_file:
            lines.append(f"{begin} -F")
        for name, text in one.choices:
            lines.append(f"{begin} -a {shlex.quote(name)} -d {_fish_quoted(text)}")
        for option in one.options:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
            )
            value = ""
            if option.takes_value:
                value = " -r -F" if option.is_file else f" -x -a {_fish_quoted(' '.join(option.choices))}"
            lines.append(f"{begin} {names}{value} -d {_fish_quoted(option.help)}")
    known = " ".join(shlex.quote(one.path) for one in commands[1:])
    return _FISH.format(known=known, lines="\n".join(lines))


def _below(commands: list[_Command]) -> str:
    """The pattern of all words that lead to a command."""
    return "|".join(shlex.quote(one.path) for one in commands[1:])


def _after(command: _Command, option: _Option) -> str:
    return "|".join(shlex.quote(f"{command.path} {name}") for name in option.names)


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))


def _described(name: str, text: str) -> str:
    """`name:explanation`, as _describe takes it."""
    return shlex.quote(f"{name.replace(':', chr(92) + ':')}:{text}" if text else name)


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_BASH = """\
# bash completion of gateway: source <(gateway completion bash)
_gateway() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
    local at=gateway word words='' options='' files=0 value=0
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$at $word" in
    {below}) at="$at $word";;
        esac
    done
    case "$at" in
{within}
    esac
    case "$at $prev" in
{after}
    esac
    COMPREPLY=()
    if [[ $cur == -* && $value == 0 ]]; then words=$options files=0; fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    if [[ $files == 1 ]]; then
        compopt -o filenames
        local name
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$cur")
    fi
}}
complete -F _gateway gateway
"""

_ZSH = """\
#compdef gateway
# zsh completion of gateway: a file _gateway in a folder of $fpath, or source <(gateway completion zsh)
_gateway() {{
    local at=gateway word prev=$words[CURRENT-1] files=0
    local -a options follow
    for word in ${{words[2,CURRENT-1]}}; do
        case "$at $word" in
    ({below}) at="$at $word";;
        esac
    done
    case "$at $prev" in
{after}
    esac
    case "$at" in
{within}
    esac
    if [[ $words[CURRENT] == -* ]]; then _describe -o option options; return; fi
    (( $#follow )) && _describe command follow
    (( files )) && _files
}}
if [[ $funcstack[1] == _gateway ]]; then _gateway "$@"; else compdef _gateway gateway; fi
"""

_FISH = """\
# fish completion of gateway: gateway completion fish > ~/.config/fish/completions/gateway.fish
function __gateway_at
    set -l at gateway
    for word in (commandline -opc)[2..-1]
        contains -- "$at $word" {known}; and set at "$at $word"
    end
    test "$at" = $argv[1]
end
complete -c gateway -f
{lines}
"""

_SCRIPTS: dict[str, Callable[[list[_Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
