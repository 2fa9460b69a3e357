"""`consul-kernel catalog datacenters`, `nodes` and `services`."""

from __future__ import annotations

from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.columns import format_columns
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_SHORT_ID_CHARACTERS = 8
_NO_MATCH = "No {} match the given query - try expanding your search."


def _datacenters(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        datacenters = AgentClient(arguments).get_json("/v1/catalog/datacenters")
    except AgentError as error:
        return fail(f"Error listing datacenters: {error}")
    for datacenter in datacenters:
        print(datacenter)
    return EXIT_OK


def _nodes(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    service = arguments.text("service")
    path = f"/v1/catalog/service/{service}" if service else "/v1/catalog/nodes"
    try:
        nodes = AgentClient(arguments).get_json(
            path, {"near": arguments.text("near") or None, "filter": _filter(arguments)}
        )
    except AgentError as error:
        return fail(f"Error listing nodes: {error}")
    # Several instances of a service on one node are one node.
    by_name = {node["Node"]: node for node in nodes or ()}
    if not by_name:
        print(_NO_MATCH.format("nodes"))
        return EXIT_OK
    nodes = list(by_name.values()) if arguments.text("near") else [by_name[name] for name in sorted(by_name)]
    print(format_columns(_detailed_nodes(nodes) if arguments.is_set("detailed") else _plain_nodes(nodes)))
    return EXIT_OK


def _filter(arguments: Arguments) -> str | None:
    """The given filter and the given metadata as one filter expression."""
    field = "NodeMeta" if arguments.values.get("service") else "Meta"
    terms = [f'{field}["{key}"] == "{value}"' for key, value in arguments.mapping("node-meta").items()]
    if arguments.text("filter"):
        terms.append(f"({arguments.text('filter')})" if terms else arguments.text("filter"))
    return " and ".join(terms) or None


def _plain_nodes(nodes: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "ID", "Address", "DC"]]
    return rows + [
        [node["Node"], (node.get("ID") or "")[:_SHORT_ID_CHARACTERS], node["Address"], node.get("Datacenter") or ""]
        for node in nodes
    ]


def _detailed_nodes(nodes: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"]]
    return rows + [
        [
            node["Node"],
            node.get("ID") or "",
            node["Address"],
            node.get("Datacenter") or "",
            _pairs(node.get("TaggedAddresses")),
            _pairs(node.get("Meta", node.get("NodeMeta"))),
        ]
        for node in nodes
    ]


def _pairs(mapping: dict[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((mapping or {}).items()))


def _services(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        tags = _service_tags(arguments)
    except AgentError as error:
        return fail(f"Error listing services: {error}")
    if not tags:
        print(_NO_MATCH.format("services"))
        return EXIT_OK
    if arguments.is_set("tags"):
        print(format_columns([[name, ",".join(sorted(tags[name]))] for name in sorted(tags)]))
    else:
        print("\n".join(sorted(tags)))
    return EXIT_OK


def _service_tags(arguments: Arguments) -> dict[str, set[str]]:
    """Tags by service: of one node, or of the datacenter."""
    client = AgentClient(arguments)
    node = arguments.text("node")
    if not node:
        query = {"filter": _services_filter(arguments)}
        services = client.get_json("/v1/catalog/services", query) or {}
        return {name: set(tags or ()) for name, tags in services.items()}
    document = client.get_json(f"/v1/catalog/node/{node}") or {}
    found: dict[str, set[str]] = {}
    for service in (document.get("Services") or {}).values():
        found.setdefault(service["Service"], set()).update(service.get("Tags") or ())
    return found


def _services_filter(arguments: Arguments) -> str | None:
    terms = [f'NodeMeta["{key}"] == "{value}"' for key, value in arguments.mapping("node-meta").items()]
    return " and ".join(terms) or None


COMMANDS = (
    Command(
        "catalog datacenters",
        "catalog datacenters [options]",
        "Lists the known datacenters",
        _datacenters,
        CLIENT_FLAGS,
    ),
    Command(
        "catalog nodes",
        "catalog nodes [options]",
        "Lists nodes",
        _nodes,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            Flag("detailed", FlagType.BOOL, "Show whole ids, tagged addresses and metadata."),
            Flag("filter", FlagType.TEXT, "Show only nodes that this filter expression fits."),
            Flag("near", FlagType.TEXT, "Nearest to this node first; _agent for the agent's own."),
            Flag("node-meta", FlagType.TEXT_MAP, "Show only nodes with this metadata. May be given many times."),
            Flag("service", FlagType.TEXT, "Show only nodes with this service."),
        ),
    ),
    Command(
        "catalog services",
        "catalog services [options]",
        "Lists services",
        _services,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            Flag("node", FlagType.TEXT, "Show only services of this node."),
            Flag("node-meta", FlagType.TEXT_MAP, "Show only services on nodes with this metadata."),
            Flag("tags", FlagType.BOOL, "Show the services' tags."),
        ),
    ),
)
