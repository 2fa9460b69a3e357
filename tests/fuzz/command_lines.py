"""Command lines that somebody may type: every command with its own flags, and values that they do not expect.

Left out is what would go on for long, or run programs.
"""

from __future__ import annotations

import contextlib
import io

from consul_kernel.cli.index import COMMANDS
from consul_kernel.cli.main import load_command, main
from fuzz.choices import Choices, once_in, one_of

_LEFT_OUT = frozenset({"agent", "lock", "leave", "watch", "monitor", "debug", "simulate gossip", "simulate raft"})
_NAMES = tuple(name for name in COMMANDS if name not in _LEFT_OUT)
_VALUES = (
    *("", "a", "-1", "0", "1", "1.5", "99999999999999999999", "9" * 5_000, "nan", "true", "x" * 300, "é", "\udcff"),
    *("a\nb",),
    *("/dev/null", "/nonexistent", "@/nonexistent", "@", "-", "--", "a=b", "=", "k:v", "10s", "-1s", "(", "{}", "[]"),
    *("{{", "-x"),
    *("127.0.0.1:1", "[::1]", "http://", "http://[x]", "unix:///x", "https://127.0.0.1:1"),
)
_EXIT_CODES = (0, 1, 2, 127)


def make_command_line(choices: Choices) -> list[str]:
    """A command and some arguments."""
    name = one_of(choices, _NAMES)
    flags = load_command(name).flags
    arguments = name.split(" ")
    for _ in range(choices.below(5)):
        value = one_of(choices, _VALUES)
        if not flags or not choices.below(3):
            arguments.append(value)
            continue
        flag = one_of(choices, flags).name
        flag = flag[1:] if once_in(choices, 10) else flag
        arguments += one_of(choices, ([f"-{flag}={value}"], [f"--{flag}={value}"], [f"-{flag}", value], [f"-{flag}"]))
    return arguments


def check_command_line(arguments: list[str]) -> int:
    """Run it; the exit code. AssertionError for one that does not exist, or a failure without a word.

    What it raises is a fault.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    assert code in _EXIT_CODES, f"exit code {code}"
    assert code == 0 or (out.getvalue() + err.getvalue()).strip(), "a failure without a word"
    return code
