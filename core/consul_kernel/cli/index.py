"""Which commands there are, without importing any."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """The module in `commands` that has the command, and one line about it."""

    module: str
    synopsis: str


COMMANDS = {
    "agent": Entry("agent", "Runs an agent"),
    "catalog datacenters": Entry("catalog", "Lists the known datacenters"),
    "catalog nodes": Entry("catalog", "Lists nodes"),
    "catalog services": Entry("catalog", "Lists services"),
    "config delete": Entry("config", "Deletes a configuration entry"),
    "config list": Entry("config", "Lists the names of configuration entries"),
    "config read": Entry("config", "Shows a configuration entry"),
    "config write": Entry("config", "Writes a configuration entry"),
    "debug": Entry("debug", "Records a debugging archive for operators"),
    "event": Entry("event", "Fires an event"),
    "force-leave": Entry("pool", "Makes a failed member leave"),
    "info": Entry("info", "Shows what the agent says of itself"),
    "join": Entry("pool", "Makes the agent join a pool"),
    "keygen": Entry("keygen", "Makes a gossip key"),
    "keyring": Entry("keyring", "Manages gossip layer encryption keys"),
    "kv delete": Entry("kv_write", "Removes keys"),
    "kv export": Entry("kv_transfer", "Writes keys out as JSON"),
    "kv get": Entry("kv_get", "Reads keys"),
    "kv import": Entry("kv_transfer", "Writes keys from JSON"),
    "kv put": Entry("kv_write", "Writes a key"),
    "leave": Entry("pool", "Makes the agent leave the pool and stop"),
    "lock": Entry("lock", "Runs a program while it holds a lock"),
    "maint": Entry("maint", "Takes the node or a service out of service, and back"),
    "members": Entry("members", "Lists the members of the pool"),
    "monitor": Entry("monitor", "Shows the agent's log as it is written"),
    "operator autopilot get-config": Entry("operator_autopilot", "Shows autopilot's configuration"),
    "operator autopilot set-config": Entry("operator_autopilot", "Changes autopilot's configuration"),
    "operator autopilot state": Entry("operator_autopilot", "Shows how the servers are"),
    "operator raft list-peers": Entry("operator_raft", "Lists the servers of the quorum"),
    "operator raft remove-peer": Entry("operator_raft", "Removes a server from the quorum"),
    "operator raft transfer-leader": Entry("operator_raft", "Hands leadership to another server"),
    "plugins": Entry("plugins", "Lists installed plugins"),
    "reload": Entry("reload", "Makes the agent read its files again"),
    "rtt": Entry("rtt", "Estimates the round-trip time between two nodes"),
    "services deregister": Entry("services", "Deregisters services from the agent"),
    "services register": Entry("services", "Registers services with the agent"),
    "simulate gossip": Entry("simulate", "Runs pools of agents in virtual time"),
    "simulate raft": Entry("simulate", "Runs quorums of servers in virtual time"),
    "snapshot inspect": Entry("snapshot_inspect", "Shows what an archive holds"),
    "snapshot restore": Entry("snapshot_transfer", "Replaces the servers' state by an archive's"),
    "snapshot save": Entry("snapshot_transfer", "Saves the servers' state into an archive"),
    "validate": Entry("validate", "Checks configuration files"),
    "version": Entry("version", "Prints the version"),
    "watch": Entry("watch", "Watches for changes"),
}

GROUPS = {
    "catalog": "Reads the catalog",
    "config": "Reads and writes configuration entries",
    "kv": "Reads and writes keys",
    "operator": "Looks after the servers",
    "operator autopilot": "Shows how the servers are, and changes how they are looked after",
    "operator raft": "Shows and changes the quorum",
    "services": "Registers services with the agent",
    "simulate": "Runs a protocol in virtual time, with faults, from a seed",
    "snapshot": "Saves, restores and inspects the state of the servers",
}
