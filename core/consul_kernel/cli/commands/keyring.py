"""`consul-kernel keyring`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_PATH = "/v1/operator/keyring"
_MAX_RELAY_FACTOR = 5

_LISTS = {
    "list": ("Keys", "Gathering installed encryption keys..."),
    "list-primary": ("PrimaryKeys", "Gathering installed primary encryption keys..."),
}
_CHANGES = {
    "install": ("POST", "Installing new gossip encryption key..."),
    "use": ("PUT", "Changing primary gossip encryption key..."),
    "remove": ("DELETE", "Removing gossip encryption key..."),
}


def _run(arguments: Arguments) -> int:
    actions = [name for name in (*_LISTS, *_CHANGES) if arguments.values[name]]
    relay_factor, local_only = arguments.number("relay-factor"), arguments.is_set("local-only")
    if arguments.positional:
        return too_many_arguments(0, arguments)
    if not actions:
        return fail(_COMMAND.help())
    if len(actions) > 1:
        return fail("Only a single action is allowed")
    if not 0 <= relay_factor <= _MAX_RELAY_FACTOR:
        return fail(f"Error parsing relay factor: Relay factor must be in range: [0, {_MAX_RELAY_FACTOR}]")
    (action,) = actions
    if local_only and action not in _LISTS:
        return fail("Error validating local-only: local-only can only be set for list requests")
    query = {
        "relay-factor": str(relay_factor) if relay_factor else None,
        "local-only": "true" if local_only else None,
    }
    client = AgentClient(arguments)
    try:
        if action in _LISTS:
            field, doing = _LISTS[action]
            print(f"==> {doing}")
            for response in client.get_json(_PATH, query) or []:
                print(_format_pool(response, response.get(field) or {}))
        else:
            method, doing = _CHANGES[action]
            print(f"==> {doing}")
            client.send_json(method, _PATH, {"Key": arguments.text(action)}, query)
    except AgentError as error:
        return fail(f"error: {error}")
    return EXIT_OK


def _format_pool(response: Mapping[str, Any], keys: Mapping[str, int]) -> str:
    pool = "WAN" if response["WAN"] else f"{response['Datacenter']} (LAN)"
    if response.get("Segment"):
        pool += f" [{response['Segment']}]"
    lines = ["", f"{pool}:"]
    lines += [f"  ===> {name}: {message}" for name, message in sorted((response.get("Messages") or {}).items())]
    lines += [f"  {key} [{count}/{response['NumNodes']}]" for key, count in sorted(keys.items())]
    return "\n".join(lines)


_COMMAND = Command(
    "keyring",
    "keyring [options]",
    "Manages gossip layer encryption keys",
    _run,
    (
        *CLIENT_FLAGS,
        Flag("install", FlagType.TEXT, "Give every member of every pool this key, which then opens."),
        Flag("use", FlagType.TEXT, "Have every member seal with this key, which must be installed."),
        Flag("remove", FlagType.TEXT, "Have every member forget this key, which must not be the one that seals."),
        Flag("list", FlagType.BOOL, "List all keys, and on how many members each is."),
        Flag("list-primary", FlagType.BOOL, "List the keys that seal, and on how many members each does."),
        Flag("relay-factor", FlagType.INT, "Members, at most 5, that pass each answer on besides its sender."),
        Flag("local-only", FlagType.BOOL, "List the keys of this datacenter's LAN pool only."),
    ),
    "Lists and changes the keys that seal gossip, on all members of all pools at once. The agent must be a server. To "
    "change the key and lose nobody: -install the new one, -use it, -remove the old one, each when the one before is "
    "done everywhere.\n\n"
    "Exits with 1 when a member does not answer or refuses.",
)

COMMANDS = (_COMMAND,)
