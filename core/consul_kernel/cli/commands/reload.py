"""`consul-kernel reload`."""

from __future__ import annotations

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        AgentClient(arguments).put("/v1/agent/reload")
    except AgentError as error:
        return fail(f"Error reloading: {error}")
    print("Configuration reload triggered")
    return EXIT_OK


COMMANDS = (
    Command(
        "reload",
        "reload [options]",
        "Makes the agent read its files again",
        _run,
        CLIENT_FLAGS,
        "Makes the agent read its files again, as SIGHUP does, and take up what can change while it runs: services, "
        "checks, watches, node_meta, dns_config, http_config, limits, discard_check_output, log_level and when "
        "snapshots are taken. What else has changed is named in the agent's log, and waits for a restart. Files that "
        "a start would refuse change nothing, and the answer says what is wrong.",
    ),
)
