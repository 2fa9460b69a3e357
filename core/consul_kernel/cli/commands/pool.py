"""`consul-kernel join`, `leave` and `force-leave`."""

from __future__ import annotations

import sys

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType


def _join(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("At least one address to join must be specified.")
    client = AgentClient(arguments)
    query = {"wan": "1"} if arguments.is_set("wan") else {}
    joined = 0
    for address in arguments.positional:
        try:
            client.put(f"/v1/agent/join/{address}", query)
            joined += 1
        except AgentError as error:
            print(f"Error joining address '{address}': {error}", file=sys.stderr)
    if joined == 0:
        return fail("Failed to join any nodes.")
    print(f"Successfully joined cluster by contacting {joined} nodes.")
    return EXIT_OK


def _leave(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        AgentClient(arguments).put("/v1/agent/leave")
    except AgentError as error:
        return fail(f"Error leaving: {error}")
    print("Graceful leave complete")
    return EXIT_OK


def _force_leave(arguments: Arguments) -> int:
    if len(arguments.positional) != 1:
        return fail("A single node name must be specified to force leave.")
    query = {"prune": "1"} if arguments.is_set("prune") else {}
    try:
        AgentClient(arguments).put(f"/v1/agent/force-leave/{arguments.positional[0]}", query)
    except AgentError as error:
        return fail(f"Error force leaving: {error}")
    return EXIT_OK


COMMANDS = (
    Command(
        "join",
        "join [options] ADDRESS…",
        "Makes the agent join a pool",
        _join,
        (*CLIENT_FLAGS, Flag("wan", FlagType.BOOL, "Join servers of another datacenter.")),
        "Tells the running agent to join the pool of at least one existing member.",
    ),
    Command(
        "leave",
        "leave [options]",
        "Makes the agent leave the pool and stop",
        _leave,
        CLIENT_FLAGS,
        "The agent leaves on purpose, so that nobody counts it as failed, and stops.",
    ),
    Command(
        "force-leave",
        "force-leave [options] NAME",
        "Makes a failed member leave",
        _force_leave,
        (*CLIENT_FLAGS, Flag("prune", FlagType.BOOL, "Forget the member at once.")),
        "Counts a failed member as left, a server in both pools: NAME in the LAN pool and NAME.DATACENTER in the WAN "
        "pool. A member that is still alive comes back by itself.",
    ),
)
