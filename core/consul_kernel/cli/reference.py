"""The reference of the command line as a document: `python -m consul_kernel.cli.reference > docs/reference-cli.md`."""

from __future__ import annotations

from collections.abc import Sequence

from .command import Command, flag_usage
from .flags import Flag
from .index import COMMANDS
from .main import load_command

_PREAMBLE = """\
# Command line

<!-- Made from the code by `python -m consul_kernel.cli.reference`; a test compares the two. -->

`consul-kernel` has the commands of Consul's that concern the parts of it that are here, with the same flags, texts and
exit codes. Without a command, flags are the agent's: `consul-kernel -config agent.hcl`.

## Flags

Flags follow Go's habits. `-name value`, `-name=value`, `--name value` and `--name=value` are equal. A boolean takes a
value only behind `=`: `-dev`, `-dev=false`. Flags stop at the first argument that is none, or behind `--`; what comes
later is an argument, even if it begins with a dash. `-h`, `-help` and `--help` show a command's help.

## Exit codes

| Code | When |
| --- | --- |
| 0 | Done, or help was asked for. |
| 1 | Wrong flags or arguments, an error, a group without a command, or an agent that did not start. |
| 2 | `members` has none to show. |
| 127 | No command, or an unknown one. |

## Signals to an agent

| Signal | Effect |
| --- | --- |
| SIGINT (Ctrl-C) | A client leaves the pool and stops, a server stops; `skip_leave_on_interrupt` says otherwise. |
| SIGTERM | A client leaves the pool and stops, a server stops; `leave_on_terminate` says otherwise. |
| SIGHUP | Reads the agent file again, as `reload` does. |
| SIGUSR1 | Prints the metrics of the last minute to standard error, as Consul does. |

A second SIGINT or SIGTERM ends the process at once, with code 1. An agent that is still starting stops without leaving.

## Environment

| Variable | Meaning |
| --- | --- |
| `CONSUL_HTTP_ADDR` | Address of the agent: `host:port`, `http://…`, `https://…` or `unix:///path`. |
| `CONSUL_HTTP_TOKEN` | ACL token to send. |
| `CONSUL_HTTP_TOKEN_FILE` | File with the ACL token to send. |
| `CONSUL_HTTP_AUTH` | `user:password` for a proxy in front of the agent. |
| `CONSUL_HTTP_SSL` | `true` speaks https to an address without a scheme. |
| `CONSUL_HTTP_SSL_VERIFY` | `false` accepts any certificate. |
| `CONSUL_CACERT` | Certificates to trust, in PEM form. |

A flag goes before a variable, and a token before a file.

## Commands
"""


def render_reference() -> str:
    """The whole document, in Markdown."""
    rows = [(f"[`{name}`](#{_anchor(name)})", f"{entry.synopsis}.") for name, entry in COMMANDS.items()]
    parts = [_PREAMBLE, _table(("Command", "What it does"), rows)]
    return "\n".join([*parts, *(_render(load_command(name)) for name in COMMANDS)])


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _render(command: Command) -> str:
    description = command.description or f"{command.synopsis}."
    lines = [f"### {command.name}", "", f"    consul-kernel {command.usage}", "", description]
    if command.flags:
        rows = [(f"`{flag_usage(flag)}`", _explain(flag)) for flag in sorted(command.flags, key=lambda flag: flag.name)]
        lines += ["", _table(("Flag", "Meaning"), rows).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _explain(flag: Flag) -> str:
    text = flag.help
    if flag.key:
        text += f" Key `{flag.key}`."
    if flag.default is not None:
        text += f" The default is `{flag.default}`."
    return text.replace("|", "\\|")


def _table(heading: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {heading[0]} | {heading[1]} |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render_reference(), end="")
