"""`consul-kernel monitor`: the agent's log, as it is written."""

from __future__ import annotations

import sys

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_ENDED = "Remote side ended the monitor! This usually means that the remote side has exited or crashed."
_FLAGS = (
    Flag(
        "log-level", FlagType.TEXT, "Least severe level that is shown: trace, debug, info, warn, err.", default="INFO"
    ),
    Flag("log-json", FlagType.BOOL, "Show lines as JSON objects."),
    *CLIENT_FLAGS,
)


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    query = {"loglevel": arguments.text("log-level"), "logjson": "" if arguments.is_set("log-json") else None}
    try:
        for line in AgentClient(arguments).follow("/v1/agent/monitor", query):
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_OK
    except AgentError as error:
        return fail(f"Error starting monitor: {error}")
    print(f"\n{_ENDED}")
    return EXIT_OK


COMMANDS = (
    Command(
        "monitor",
        "monitor [options]",
        "Shows the agent's log as it is written",
        _run,
        _FLAGS,
        "Shows the log of a running agent from now on, also at a level that is lower than the agent's own, until it is "
        "interrupted or the agent ends. Lines that it does not read in time are left out, and their number is told.",
    ),
)
