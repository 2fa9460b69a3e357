"""`consul-kernel info`."""

from __future__ import annotations

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        document = AgentClient(arguments).get_json("/v1/agent/self")
    except AgentError as error:
        return fail(f"Error querying agent: {error}")
    stats = document.get("Stats")
    if not isinstance(stats, dict):
        return fail("Agent response did not contain 'Stats' key")
    for group in sorted(stats):
        print(f"{group}:")
        for name, value in sorted((stats[group] or {}).items()):
            print(f"\t{name} = {value}")
    return EXIT_OK


COMMANDS = (Command("info", "info [options]", "Shows what the agent says of itself", _run, CLIENT_FLAGS),)
