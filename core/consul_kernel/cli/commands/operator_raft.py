"""`consul-kernel operator raft list-peers`, `remove-peer` and `transfer-leader`."""

from __future__ import annotations

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.columns import format_columns
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_FLAGS = (*CLIENT_FLAGS, *SERVER_FLAGS)
_DATACENTER = SERVER_FLAGS[:1]
_HEADINGS = ("Node", "ID", "Address", "State", "Voter", "RaftProtocol")


def _list_peers(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    try:
        configuration = AgentClient(arguments).get_json("/v1/operator/raft/configuration")
    except AgentError as error:
        return fail(f"Error getting peers: Failed to retrieve raft configuration: {error}")
    rows = [
        (
            server["Node"],
            server["ID"],
            server["Address"],
            "leader" if server["Leader"] else "follower",
            str(server["Voter"]).lower(),
            server["ProtocolVersion"] or "<=1",
        )
        for server in configuration["Servers"] or []
    ]
    print(format_columns([_HEADINGS, *rows]))
    return EXIT_OK


def _remove_peer(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    address, server_id = arguments.text("address"), arguments.text("id")
    if not address and not server_id:
        return fail("Error removing peer: an address or id is required for the peer to remove")
    if address and server_id:
        return fail("Error removing peer: cannot give both an address and id")
    query: dict[str, str | None] = {"address": address} if address else {"id": server_id}
    try:
        AgentClient(arguments).delete("/v1/operator/raft/peer", query)
    except AgentError as error:
        return fail(f"Error removing peer: {error}")
    print(f'Removed peer with address "{address}"' if address else f'Removed peer with id "{server_id}"')
    return EXIT_OK


def _transfer_leader(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    query = {"id": arguments.text("id") or None}
    try:
        AgentClient(arguments).post("/v1/operator/raft/transfer-leader", query)
    except AgentError as error:
        return fail(f"Error transfering leadership: Failed to transfer leadership {error}")
    print("Success")
    return EXIT_OK


COMMANDS = (
    Command(
        "operator raft list-peers",
        "operator raft list-peers [options]",
        "Lists the servers of the quorum",
        _list_peers,
        _FLAGS,
        "Shows every server of the quorum, whether it leads, and whether it has a vote. While there is no leader, "
        "-stale asks whichever server answers.",
    ),
    Command(
        "operator raft remove-peer",
        "operator raft remove-peer [options]",
        "Removes a server from the quorum",
        _remove_peer,
        (
            *CLIENT_FLAGS,
            *_DATACENTER,
            Flag("address", FlagType.TEXT, "The server's address, ip:port of its server port."),
            Flag("id", FlagType.TEXT, "The server's id."),
        ),
        "Takes a server out of the quorum that is gone for good and that gossip does not know any more. One that is "
        "only failed leaves with `consul-kernel force-leave`; one that lives joins the quorum again.",
    ),
    Command(
        "operator raft transfer-leader",
        "operator raft transfer-leader [options]",
        "Hands leadership to another server",
        _transfer_leader,
        (
            *CLIENT_FLAGS,
            *_DATACENTER,
            Flag("id", FlagType.TEXT, "The id of the server that shall lead; else the one that is furthest."),
        ),
        "Has another server lead, such as before this one is stopped. Writes wait for a moment and are not lost.",
    ),
)
