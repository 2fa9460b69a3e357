"""What a command is, and how one is told of its arguments."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .flags import Arguments, Flag

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_UNKNOWN_COMMAND = 127
_HELP_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `run` returns the exit code; `usage` follows `consul-kernel` in the help.

    `prepare` may give the command other flags, where they depend on what is given; it raises FlagError.
    """

    name: str
    usage: str
    synopsis: str
    run: Callable[[Arguments], int]
    flags: tuple[Flag, ...] = ()
    description: str = ""
    prepare: Callable[[Command, Sequence[str]], Command] | None = None

    def help(self) -> str:
        """The text of `-h`."""
        lines = [f"Usage: consul-kernel {self.usage}", ""]
        lines += [textwrap.indent(textwrap.fill(part, _HELP_WIDTH - 2), "  ") for part in self._paragraphs()]
        if self.flags:
            lines += ["", "Options"]
            for flag in sorted(self.flags, key=lambda flag: flag.name):
                lines += ["", f"  {flag_usage(flag)}", _indented(flag.help + default_note(flag))]
        return "\n".join(lines)

    def _paragraphs(self) -> Sequence[str]:
        return (self.description or f"{self.synopsis}.").split("\n\n")


def flag_usage(flag: Flag) -> str:
    """`-name=<string>`, and `-name` alone for a boolean."""
    return f"-{flag.name}" if flag.type.value == "bool" else f"-{flag.name}=<{flag.type.value}>"


def default_note(flag: Flag) -> str:
    """What a flag is when it is not given, where that is not simply nothing."""
    return "" if flag.default in (None, "", False) else f" The default is {flag.default}."


def _indented(text: str) -> str:
    return textwrap.indent(textwrap.fill(text, _HELP_WIDTH - 6), "     ")


def fail(message: str) -> int:
    """Say what went wrong, on standard error; the exit code of a failure."""
    print(message, file=sys.stderr)
    return EXIT_FAILURE


def too_many_arguments(expected: int | str, arguments: Arguments) -> int:
    """The complaint about surplus arguments, among them flags that came too late."""
    return fail(f"Too many arguments (expected {expected}, got {len(arguments.positional)})")
