"""`consul-kernel members`."""

from __future__ import annotations

import re
import sys
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.columns import format_columns
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_EXIT_NO_MEMBERS = 2
_STATUSES = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}
_ROLES = {"node": "client", "consul": "server"}
_ALL_SEGMENTS = "<all>"
_DEFAULT_SEGMENT = "<default>"


def _run(arguments: Arguments) -> int:
    try:
        wanted = re.compile(arguments.text("status"))
    except re.error as error:
        return fail(f"Failed to compile status regexp: {error}")
    try:
        query = {"wan": "1"} if arguments.is_set("wan") else {}
        members = AgentClient(arguments).get_json("/v1/agent/members", query) or []
    except AgentError as error:
        return fail(f"Error retrieving members: {error}")
    shown = [member for member in members if wanted.search(_status(member))]
    if not shown:
        if arguments.is_set("wan") and not members:
            print("No members: only servers are in the WAN pool", file=sys.stderr)
        return _EXIT_NO_MEMBERS
    shown.sort(key=lambda member: (member["Name"], _segment(member)))
    print(format_columns(_detailed(shown) if arguments.is_set("detailed") else _standard(shown)))
    return EXIT_OK


def _status(member: dict[str, Any]) -> str:
    return _STATUSES.get(member["Status"], "unknown")


def _address(member: dict[str, Any]) -> str:
    host = member["Addr"]
    return f"[{host}]:{member['Port']}" if ":" in host else f"{host}:{member['Port']}"


def _segment(member: dict[str, Any]) -> str:
    tags = member.get("Tags") or {}
    return _ALL_SEGMENTS if tags.get("role") == "consul" else tags.get("segment") or _DEFAULT_SEGMENT


def _standard(members: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"]]
    for member in members:
        tags = member.get("Tags") or {}
        rows.append(
            [
                member["Name"],
                _address(member),
                _status(member),
                _ROLES.get(tags.get("role", ""), "unknown"),
                tags.get("build", "").partition(":")[0] or "< 0.3",
                tags.get("vsn", ""),
                tags.get("dc", ""),
                _segment(member),
            ]
        )
    return rows


def _detailed(members: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "Address", "Status", "Tags"]]
    for member in members:
        tags = sorted((member.get("Tags") or {}).items())
        rows.append(
            [member["Name"], _address(member), _status(member), ",".join(f"{name}={value}" for name, value in tags)]
        )
    return rows


COMMANDS = (
    Command(
        "members",
        "members [options]",
        "Lists the members of the pool",
        _run,
        (
            *CLIENT_FLAGS,
            Flag("detailed", FlagType.BOOL, "Show all tags."),
            Flag("status", FlagType.TEXT, "Show only members whose status matches this expression.", default=".*"),
            Flag("wan", FlagType.BOOL, "Show the WAN pool, in which servers of all datacenters are."),
        ),
        "Lists the members that the agent knows, with their states. Exits with 2 when none is to be shown.",
    ),
)
