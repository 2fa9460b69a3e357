"""`consul-kernel event`."""

from __future__ import annotations

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType


def _run(arguments: Arguments) -> int:
    name = arguments.text("name")
    if not name:
        return fail("Event name must be specified")
    if arguments.text("tag") and not arguments.text("service"):
        return fail("Cannot provide tag filter without service filter.")
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    payload = arguments.positional[0].encode(errors="surrogateescape") if arguments.positional else b""
    query = {flag: arguments.text(flag) or None for flag in ("node", "service", "tag")}
    try:
        event = AgentClient(arguments).put(f"/v1/event/fire/{name}", query, payload).json()
    except AgentError as error:
        return fail(f"Error firing event: {error}")
    print(f"Event ID: {event['ID']}")
    return EXIT_OK


COMMANDS = (
    Command(
        "event",
        "event [options] -name=NAME [PAYLOAD]",
        "Fires an event",
        _run,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            Flag("name", FlagType.TEXT, "Name of the event."),
            Flag("node", FlagType.TEXT, "Only agents whose name matches this expression act on it."),
            Flag("service", FlagType.TEXT, "Only agents with a service that matches this expression act on it."),
            Flag("tag", FlagType.TEXT, "Only agents with a tag on -service that matches this expression act on it."),
        ),
        "Sends a named event with a payload to every agent of the datacenter.",
    ),
)
