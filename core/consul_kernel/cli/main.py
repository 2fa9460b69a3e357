"""Finds the command and runs it.

Every command lives in a module of its own that is imported only when it is asked for: a client command must
start as fast as Python itself.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from .command import EXIT_FAILURE, EXIT_OK, EXIT_UNKNOWN_COMMAND, Command, fail
from .flags import FlagError, HelpRequested, parse_flags
from .index import COMMANDS, GROUPS

_HELP_FLAGS = ("-h", "-help", "--help")
_VERSION_FLAGS = ("-v", "-version", "--version")
_OF_CONSUL = frozenset(("acl", "connect", "exec", "intention", "login", "logout", "tls"))


def run() -> int:
    """The entry point of the script `consul-kernel`: the process's exit code."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`): nothing to say, and nobody to say it to. The interpreter must not
        # try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE


def main(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name."""
    if not arguments:
        return _unknown_command()
    first = arguments[0]
    if first in _HELP_FLAGS:
        print(overview())
        return EXIT_OK
    if first in _VERSION_FLAGS:
        return run_command(load_command("version"), ())
    if first.startswith("-"):
        # Flags without a command are the agent's.
        return run_command(load_command("agent"), arguments)
    name, rest = _find(arguments)
    if name in COMMANDS:
        return run_command(load_command(name), rest)
    if name in GROUPS:
        if rest and rest[0] in _HELP_FLAGS:
            print(group_help(name))
            return EXIT_OK
        print(group_help(name), file=sys.stderr)
        return EXIT_FAILURE
    return _unknown_command(first)


def _find(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The longest name of a command or group that the arguments begin with, and what follows it."""
    for words in (3, 2, 1):
        name = " ".join(arguments[:words])
        if len(arguments) >= words and (name in COMMANDS or name in GROUPS):
            return name, arguments[words:]
    return "", arguments


def load_command(name: str) -> Command:
    """A command by its full name; imports its module."""
    module = importlib.import_module(f"{__package__}.commands.{COMMANDS[name].module}")
    command: Command = {command.name: command for command in module.COMMANDS}[name]
    return command


def run_command(command: Command, arguments: Sequence[str]) -> int:
    """Parse a command's flags and run it."""
    if command.prepare is not None:
        try:
            command = command.prepare(command, arguments)
        except FlagError as error:
            return fail(str(error))
    before_terminator = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if any(argument in _HELP_FLAGS for argument in before_terminator):
        print(command.help())
        return EXIT_OK
    try:
        return command.run(parse_flags(command.flags, arguments))
    except HelpRequested:
        print(command.help())
        return EXIT_OK
    except FlagError as error:
        print(f"{error}\n\n{command.help()}", file=sys.stderr)
        return EXIT_FAILURE


def _unknown_command(name: str = "") -> int:
    if name in _OF_CONSUL:
        print(f'"{name}" is a command of Consul that this version does not have.\n', file=sys.stderr)
    elif name:
        near = difflib.get_close_matches(name, {known.partition(" ")[0] for known in COMMANDS}, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f'Unknown command "{name}"{hint}\n', file=sys.stderr)
    print(overview(), file=sys.stderr)
    return EXIT_UNKNOWN_COMMAND


def overview() -> str:
    """All commands, one line each."""
    entries = _children("")
    return (
        "Usage: consul-kernel [--version] [--help] <command> [<args>]\n"
        "       consul-kernel -config <file> …          (the same as `consul-kernel agent …`)\n\n"
        f"Available commands are:\n{_list(entries)}"
    )


def group_help(group: str) -> str:
    """The commands of a group."""
    entries = _children(f"{group} ")
    return (
        f"Usage: consul-kernel {group} <subcommand> [options] [args]\n\n"
        f"  {GROUPS[group]}.\n\n"
        f"Subcommands:\n{_list(entries)}"
    )


def _children(prefix: str) -> dict[str, str]:
    """The commands and groups that are one word longer, by that word."""
    synopses = {name: entry.synopsis for name, entry in COMMANDS.items()} | GROUPS
    below = {name.removeprefix(prefix): text for name, text in synopses.items() if name.startswith(prefix)}
    return {name: text for name, text in below.items() if " " not in name}


def _list(entries: dict[str, str]) -> str:
    width = max(map(len, entries)) + 4
    return "\n".join(f"    {name.ljust(width)}{synopsis}" for name, synopsis in sorted(entries.items()))


if __name__ == "__main__":
    sys.exit(run())
