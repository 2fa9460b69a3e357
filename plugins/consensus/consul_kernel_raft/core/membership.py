"""Single-server changes of the configuration (thesis chapter 4)."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Configuration, Server, Suffrage

from .state import RaftState
from .tracker import voter_ids


def refuse_change(state: RaftState, servers: tuple[Server, ...]) -> str | None:
    """Why a leader may not append this configuration now; None: it may."""
    leadership = state.leadership
    if leadership is None:
        return "node is not the leader"
    if leadership.transfer_target is not None:
        return "leadership transfer in progress"
    if state.without_room:
        return "there is no room on the disk of the leader"
    if state.configuration.index > state.commit_index:
        return "another configuration change is not committed yet"
    if state.commit_index < leadership.term_start_index:
        # Without this two leaders could change disjoint majorities (raft-dev, July 2015; thesis errata).
        return "the leader has not committed an entry of its term yet"
    invalid = find_invalid(servers)
    if invalid is not None:
        return invalid
    if len(voter_ids(state.configuration) ^ voter_ids(Configuration(servers))) > 1:
        return "a change may add or remove only one voter"
    return None


def find_invalid(servers: tuple[Server, ...]) -> str | None:
    """What is wrong with a configuration in itself; None: nothing."""
    ids = [server.id for server in servers]
    addresses = [server.address for server in servers]
    if "" in ids or "" in addresses:
        return "a server needs an id and an address"
    if len(set(ids)) != len(ids):
        return f"duplicate server id in {sorted(ids)}"
    if len(set(addresses)) != len(addresses):
        return f"duplicate server address in {sorted(addresses)}"
    if not any(server.suffrage is Suffrage.VOTER for server in servers):
        return "at least one voter is needed"
    return None


def with_server(configuration: Configuration, server: Server) -> tuple[Server, ...]:
    """The servers after adding one, or after changing the address or suffrage of one that is there."""
    if configuration.get(server.id) is None:
        return (*configuration.servers, server)
    return tuple(server if known.id == server.id else known for known in configuration.servers)


def without_server(configuration: Configuration, server_id: str) -> tuple[Server, ...]:
    """The servers after removing one."""
    return tuple(server for server in configuration.servers if server.id != server_id)
