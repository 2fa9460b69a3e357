"""Who may not be in a pool, in Consul's words."""

from __future__ import annotations

import pytest

from consul_kernel.agent.admission import JOINED_A_WAN_PORT, lan_admission, refuse_in_wan, refuse_shared_ids
from consul_kernel.agent.tags import lan_tags, wan_tags
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.contracts.transport import Address

OWN_ID = "11111111-2222-3333-4444-555555555555"
OTHER_ID = "22222222-2222-3333-4444-555555555555"


def member(
    name: str,
    *,
    node_id: str = OTHER_ID,
    dc: str = "dc1",
    server: bool = False,
    status: MemberStatus = MemberStatus.ALIVE,
    **more: str,
) -> Member:
    tags = lan_tags(datacenter=dc, node_id=node_id, server_port=8300 if server else None, wan_join_port=8302)
    return Member(name=name, address=Address("10.0.0.1", 8301), tags={**tags, **more}, status=status)


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (member("a"), None),
        (member("a", node_id=OWN_ID), f"Member 'a' has conflicting node ID '{OWN_ID}' with this agent's ID"),
        (member("a", node_id=OWN_ID, status=MemberStatus.LEFT), None),
        (member("me", node_id=OWN_ID), None),
        (member("a", dc="dc2"), "Member 'a' part of wrong datacenter 'dc2'"),
        (member("a", dc="dc2", server=True), "Member 'a' part of wrong datacenter 'dc2'"),
        (member("a", dc="dc2", role="plain"), None),
        (member("a", segment="alpha"), "Member 'a' part of wrong segment 'alpha' (expected '')"),
    ],
)
def test_the_lan_is_for_agents_of_one_datacenter(candidate: Member, text: str | None) -> None:
    assert lan_admission(datacenter="dc1", node_name="me", node_id=OWN_ID)(candidate) == text


def in_wan(name: str, dc: str, *, server: bool = True) -> Member:
    lan = member(name, dc=dc, server=server)
    return Member(name=name, address=lan.address, tags=wan_tags(lan.tags), status=lan.status)


def test_the_wan_is_for_servers_under_their_wan_names() -> None:
    assert refuse_in_wan(in_wan("s1.dc2", "dc2")) is None
    assert refuse_in_wan(in_wan("host.example.dc2.dc2", "dc2")) is None
    assert refuse_in_wan(in_wan("c1", "dc1", server=False)) == "Member 'c1' is not a server"
    assert refuse_in_wan(member("plain", role="plain")) == "Member 'plain' is not a server"
    refusal = refuse_in_wan(in_wan("s1", "dc2"))
    assert refusal is not None
    assert refusal.startswith("Member 's1' is not named 's1.dc2', as servers are in the WAN pool")


def test_the_lan_refuses_servers_under_their_wan_names() -> None:
    """The WAN pool refuses a LAN agent, but answers its join all the same."""
    refuse = lan_admission(datacenter="dc1", node_name="me", node_id=OWN_ID)
    of_wan = "Member 's1.dc1' is of the WAN pool, which takes no LAN agents"
    assert refuse(in_wan("s1.dc1", "dc1")) == of_wan + JOINED_A_WAN_PORT
    assert refuse(in_wan("t1.dc2", "dc2")) == "Member 't1.dc2' part of wrong datacenter 'dc2'" + JOINED_A_WAN_PORT
    assert refuse(in_wan("s1", "dc1")) is None
    assert refuse(member("s1.dc1", server=True)) is None
    assert refuse(member("c1.dc1")) is None


def test_a_server_without_a_wan_pool_may_be_named_like_one_in_it() -> None:
    tags = lan_tags(datacenter="dc1", node_id=OTHER_ID, server_port=8300)
    alone = Member(name="s1.dc1", address=Address("10.0.0.1", 8301), tags=tags, status=MemberStatus.ALIVE)
    assert lan_admission(datacenter="dc1", node_name="me", node_id=OWN_ID)(alone) is None


def test_two_of_one_list_may_not_share_an_id() -> None:
    shared = f"Member 'b' has conflicting node ID '{OTHER_ID}' with member 'a'"
    assert refuse_shared_ids([member("a"), member("b")]) == shared
    assert refuse_shared_ids([member("a"), member("b", node_id=OWN_ID)]) is None
    assert refuse_shared_ids([member("a"), member("b", status=MemberStatus.LEFT)]) is None
    assert refuse_shared_ids([member("a", node_id=""), member("b", node_id="")]) is None
    assert refuse_shared_ids([member("a", build="0.8.4:x"), member("b")]) is None
    assert refuse_shared_ids([member("a", build="0.8.5:x"), member("b", build="?")]) == shared


def test_wan_tags_are_the_lan_tags_without_the_port() -> None:
    """As captured from Consul 1.10.11."""
    lan = lan_tags(datacenter="dc1", node_id=OWN_ID, server_port=8300, bootstrap=True, wan_join_port=8302)
    assert lan["wan_join_port"] == "8302"
    told = "acls bootstrap build dc ft_fs ft_si id port raft_vsn role segment vsn vsn_max vsn_min"
    assert " ".join(sorted(wan_tags(lan))) == told
    assert wan_tags(lan).items() <= lan.items()
