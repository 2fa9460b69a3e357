"""What agents tell each other in gossip tags: roles, addresses and versions, as Consul spells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from consul_kernel import __version__
from consul_kernel.contracts.membership import Member
from consul_kernel.structs.duration import MILLISECOND, DurationError, format_duration_ns, parse_duration_ns

ROLE_SERVER = "consul"
ROLE_CLIENT = "node"
COMPATIBLE_CONSUL_VERSION = "1.10.11"
"""The Consul whose behaviour is followed; peers read the first d.d.d of the `build` tag."""

RECONNECT_TIMEOUT_TAG = "rc_tm"
"""How long others shall remember this agent after it has failed, as a Go duration."""

GENERATION_TAG = "ck_gen"
GENERATION = 3
"""Rises with each version that puts something into the log which the one before cannot read. A server does so only once
all servers of its datacenter are of the new generation, so that they can be upgraded one by one. 1 told none.
"""

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTags:
    """A member that is a server of some datacenter, from its tags."""

    id: str
    name: str
    datacenter: str
    host: str
    port: int
    bootstrap: bool
    expect: int
    build: str
    raft_version: str
    wan_join_port: int = 0
    """Told in the LAN pool; 0 where the server is in no WAN pool."""
    generation: int = 1
    """Of what it can read in the log."""

    @property
    def address(self) -> str:
        """`ip:port` of the server port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def advertised_reconnect_timeout_ms(member: Member) -> int | None:
    """What a member asks for by its tag; None when it asks for nothing, or for what makes no sense."""
    text = member.tags.get(RECONNECT_TIMEOUT_TAG)
    if text is None:
        return None
    try:
        timeout_ms = parse_duration_ns(text) // MILLISECOND
    except DurationError:
        return None
    return timeout_ms if timeout_ms > 0 else None


def server_tags(member: Member) -> ServerTags | None:
    """The server that a member is, or None for a client or for tags that do not parse."""
    tags = member.tags
    if tags.get("role") != ROLE_SERVER:
        return None
    build = _VERSION.match(tags.get("build", ""))
    try:
        port, wan_join_port = int(tags["port"]), int(tags.get("wan_join_port", "0"))
        expect = int(tags.get("expect", "0"))
        generation = int(tags.get(GENERATION_TAG, "1"))
        int(tags["vsn"])
    except (KeyError, ValueError):
        return None
    if build is None or not 0 < port < 65536 or not 0 <= wan_join_port < 65536:
        return None
    datacenter = tags.get("dc", "")
    return ServerTags(
        id=tags.get("id", ""),
        name=member.name.removesuffix("." + datacenter),
        datacenter=datacenter,
        host=member.address.host,
        port=port,
        bootstrap="bootstrap" in tags,
        expect=expect,
        build=build.group(),
        raft_version=tags.get("raft_vsn", ""),
        wan_join_port=wan_join_port,
        generation=generation,
    )


def build_version(member: Member) -> tuple[int, int, int] | None:
    """The Consul that a member follows, or None where its tags do not say."""
    build = _VERSION.match(member.tags.get("build", ""))
    if build is None:
        return None
    major, minor, patch = build.groups()
    return int(major), int(minor), int(patch)


def lan_tags(
    *,
    datacenter: str,
    node_id: str,
    server_port: int | None,
    bootstrap: bool = False,
    bootstrap_expect: int = 0,
    wan_join_port: int = 0,
    reconnect_timeout_ms: int = 0,
) -> Mapping[str, str]:
    """This agent's tags in the LAN pool; `server_port` is None on a client, `reconnect_timeout_ms` 0 on a server."""
    tags = {
        "role": ROLE_CLIENT if server_port is None else ROLE_SERVER,
        "dc": datacenter,
        "segment": "",
        "id": node_id,
        "vsn": "2",
        "vsn_min": "2",
        "vsn_max": "3",
        "build": f"{COMPATIBLE_CONSUL_VERSION}:kernel-{__version__}",
        "acls": "0",
    }
    if reconnect_timeout_ms:
        tags[RECONNECT_TIMEOUT_TAG] = format_duration_ns(reconnect_timeout_ms * MILLISECOND)
    if server_port is not None:
        tags |= {"port": str(server_port), "raft_vsn": "3", "ft_fs": "1", "ft_si": "1"}
        tags[GENERATION_TAG] = str(GENERATION)
        if wan_join_port > 0:
            tags["wan_join_port"] = str(wan_join_port)
        if bootstrap:
            tags["bootstrap"] = "1"
        elif bootstrap_expect > 1:
            tags["expect"] = str(bootstrap_expect)
    return tags


def wan_tags(lan: Mapping[str, str]) -> Mapping[str, str]:
    """A server's tags in the WAN pool: the same, without the port of that pool, and what only its own quorum asks."""
    return {name: value for name, value in lan.items() if name not in ("wan_join_port", GENERATION_TAG)}
