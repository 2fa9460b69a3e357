"""`consul-kernel maint`: the node or a service out of service, and back."""

from __future__ import annotations

from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.structs.check import NODE_MAINTENANCE_CHECK_ID, SERVICE_MAINTENANCE_PREFIX

_FLAGS = (
    Flag("enable", FlagType.BOOL, "Take the node, or the service, out of service."),
    Flag("disable", FlagType.BOOL, "Put it back into service."),
    Flag("reason", FlagType.TEXT, "Why it is out of service; with -enable only."),
    Flag("service", FlagType.TEXT, "Id of the service; without it, the whole node is meant."),
    *CLIENT_FLAGS,
)


def _run(arguments: Arguments) -> int:
    enable, disable = arguments.is_set("enable"), arguments.is_set("disable")
    reason, service_id = arguments.text("reason"), arguments.text("service")
    if enable and disable:
        return fail("Only one of -enable or -disable may be provided")
    if reason and not enable:
        return fail("Reason may only be provided with -enable")
    if service_id and not (enable or disable):
        return fail("-service requires either -enable or -disable")
    client = AgentClient(arguments)
    if not enable and not disable:
        return _list(client)
    verb, what = "enabling" if enable else "disabling", "service" if service_id else "node"
    path = f"/v1/agent/service/maintenance/{service_id}" if service_id else "/v1/agent/maintenance"
    try:
        client.put(path, {"enable": str(enable).lower(), "reason": reason or None})
    except AgentError as error:
        return fail(f"Error {verb} {what} maintenance: {error}")
    state = "enabled" if enable else "disabled"
    print(f"{what.capitalize()} maintenance is now {state}" + (f' for "{service_id}"' if service_id else ""))
    return EXIT_OK


def _list(client: AgentClient) -> int:
    """What is out of service, and why."""
    try:
        name = client.get_json("/v1/agent/self")["Config"]["NodeName"]
    except AgentError as error:
        return fail(f"Error querying Consul agent: {error}")
    try:
        checks: dict[str, Any] = client.get_json("/v1/agent/checks")
    except AgentError as error:
        return fail(f"Error getting checks: {error}")
    for check_id, check in sorted(checks.items()):
        if check_id == NODE_MAINTENANCE_CHECK_ID:
            print(f"Node:\n  Name:   {name}\n  Reason: {check['Notes']}\n")
        elif check_id.startswith(SERVICE_MAINTENANCE_PREFIX):
            print(f"Service:\n  ID:     {check['ServiceID']}\n  Reason: {check['Notes']}\n")
    return EXIT_OK


COMMANDS = (Command("maint", "maint [options]", "Takes the node or a service out of service, and back", _run, _FLAGS),)
