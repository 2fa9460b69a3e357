"""`consul-kernel operator autopilot get-config`, `set-config` and `state`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_CONFIGURATION = "/v1/operator/autopilot/configuration"
_DATACENTER = SERVER_FLAGS[:1]
_INDEXES = ("CreateIndex", "ModifyIndex")
_QUOTED = ("RedundancyZoneTag", "UpgradeVersionTag")
_FIELDS = {
    "cleanup-dead-servers": "CleanupDeadServers",
    "last-contact-threshold": "LastContactThreshold",
    "max-trailing-logs": "MaxTrailingLogs",
    "min-quorum": "MinQuorum",
    "server-stabilization-time": "ServerStabilizationTime",
    "redundancy-zone-tag": "RedundancyZoneTag",
    "disable-upgrade-migration": "DisableUpgradeMigration",
    "upgrade-version-tag": "UpgradeVersionTag",
}


def _get_config(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        config = AgentClient(arguments).get_json(_CONFIGURATION)
    except AgentError as error:
        return fail(f"Error querying Autopilot configuration: {error}")
    for name in _FIELDS.values():
        print(f"{name} = {_shown(name, config[name])}")
    return EXIT_OK


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if name in _QUOTED else str(value)


def _set_config(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    client = AgentClient(arguments)
    try:
        config = client.get_json(_CONFIGURATION)
    except AgentError as error:
        return fail(f"Error querying Autopilot configuration: {error}")
    index = config["ModifyIndex"]
    for flag, name in _FIELDS.items():
        if flag in arguments.given:
            config[name] = arguments.values[flag]
    for name in _INDEXES:
        del config[name]
    try:
        is_done = client.put_json(_CONFIGURATION, config, {"cas": str(index)}).json()
    except AgentError as error:
        return fail(f"Error setting Autopilot configuration: {error}")
    if not is_done:
        return fail("Configuration could not be atomically updated, please try again")
    print("Configuration updated!")
    return EXIT_OK


def _state(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    layout = arguments.text("format")
    if layout not in ("pretty", "json"):
        return fail(f"Invalid output format: {layout}")
    try:
        state = AgentClient(arguments).get_json("/v1/operator/autopilot/state")
    except AgentError as error:
        return fail(f"Error querying Autopilot state: {error}")
    print(json.dumps(state, indent=4) if layout == "json" else "\n".join(_pretty(state)))
    return EXIT_OK


def _pretty(state: Mapping[str, Any]) -> Iterator[str]:
    yield f"Healthy:                      {str(state['Healthy']).lower()}"
    yield f"Failure Tolerance:            {state['FailureTolerance']}"
    yield f"Optimistic Failure Tolerance: {state['OptimisticFailureTolerance']}"
    yield f"Leader:                       {state['Leader']}"
    yield "Voters:"
    yield from (f"   {voter}" for voter in state["Voters"])
    yield "Servers:"
    for server_id, server in sorted(state["Servers"].items()):
        yield f"   {server_id}"
        for label, name in _SERVER_LINES:
            value = server[name]
            yield f"      {label + ':':<19}{str(value).lower() if isinstance(value, bool) else value}"
        if server["Meta"]:
            yield "      Meta"
            yield from (
                f"         {json.dumps(key)}: {json.dumps(text)}" for key, text in sorted(server["Meta"].items())
            )


_SERVER_LINES = (
    ("Name", "Name"),
    ("Address", "Address"),
    ("Version", "Version"),
    ("Status", "Status"),
    ("Node Type", "NodeType"),
    ("Node Status", "NodeStatus"),
    ("Healthy", "Healthy"),
    ("Last Contact", "LastContact"),
    ("Last Term", "LastTerm"),
    ("Last Index", "LastIndex"),
)

COMMANDS = (
    Command(
        "operator autopilot get-config",
        "operator autopilot get-config [options]",
        "Shows autopilot's configuration",
        _get_config,
        (*CLIENT_FLAGS, *SERVER_FLAGS),
    ),
    Command(
        "operator autopilot set-config",
        "operator autopilot set-config [options]",
        "Changes autopilot's configuration",
        _set_config,
        (
            *CLIENT_FLAGS,
            *_DATACENTER,
            Flag("cleanup-dead-servers", FlagType.BOOL, "Whether failed servers are removed from the quorum."),
            Flag("last-contact-threshold", FlagType.TEXT, "A server that heard no leader for so long is ill."),
            Flag("max-trailing-logs", FlagType.INT, "A server that is more log entries behind is ill."),
            Flag("min-quorum", FlagType.INT, "Remove no server where fewer than this would be left."),
            Flag("server-stabilization-time", FlagType.TEXT, "How long a new server is well before it gets a vote."),
            Flag("redundancy-zone-tag", FlagType.TEXT, "Consul Enterprise: kept, without effect."),
            Flag("disable-upgrade-migration", FlagType.BOOL, "Consul Enterprise: kept, without effect."),
            Flag("upgrade-version-tag", FlagType.TEXT, "Consul Enterprise: kept, without effect."),
        ),
        "Changes what is given and keeps the rest. Exits with 1 when somebody else changed it meanwhile.",
    ),
    Command(
        "operator autopilot state",
        "operator autopilot state [options]",
        "Shows how the servers are",
        _state,
        (
            *CLIENT_FLAGS,
            *_DATACENTER,
            Flag("format", FlagType.TEXT, "pretty or json.", default="pretty"),
        ),
        "Shows what the leader sees of every server, and how many voters may fail before writes stop.",
    ),
)
