"""Gossip members, as Serf's struct shows them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from consul_kernel.contracts.membership import Member
from consul_kernel.structs.record import go_name


class MemberView(msgspec.Struct, rename=go_name, gc=False):
    """One member; `status` is Serf's number."""

    name: str
    addr: str
    port: int
    tags: Mapping[str, str]
    status: int
    protocol_min: int
    protocol_max: int
    protocol_cur: int
    delegate_min: int
    delegate_max: int
    delegate_cur: int


def member_view(member: Member) -> MemberView:
    """One member."""
    return MemberView(
        member.name,
        member.address.host,
        member.address.port,
        member.shown_tags,
        int(member.status),
        member.protocol_min,
        member.protocol_max,
        member.protocol_cur,
        member.delegate_min,
        member.delegate_max,
        member.delegate_cur,
    )
