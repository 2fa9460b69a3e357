"""What an agent file says of gossip reaches the membership, and what members ask for by their tags."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from consul_kernel.agent.composition import Parts
from consul_kernel.agent.tags import advertised_reconnect_timeout_ms, lan_tags
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.contracts.membership import GossipEvent, Member, MembershipContext, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.plugins import PluginManager
from consul_kernel_swim import SwimMembership


def lan_context(text: str, data_dir: Path) -> MembershipContext:
    """What the default membership is made with."""
    config = load_config([ConfigSource(text=f'bind_addr = "127.0.0.1"\ndata_dir = "{data_dir}"\n{text}')])

    def ignore(event: GossipEvent) -> None:
        """Nobody listens."""

    parts = Parts(config, PluginManager(), node_id="an-id", rng=random.Random(1), on_event=ignore, on_wan_event=ignore)
    assert isinstance(parts.membership, SwimMembership)
    return parts.membership._context


def member(**tags: str) -> Member:
    return Member(name="m", address=Address("127.0.0.1", 1), tags=tags, status=MemberStatus.FAILED)


def test_agent_file_reaches_the_membership(tmp_path: Path) -> None:
    context = lan_context(
        """
        reconnect_timeout           = "9h"
        advertise_reconnect_timeout = "15m"
        rejoin_after_leave          = true
        disable_coordinates         = true
        gossip_lan { gossip_nodes = 5, probe_interval = "2s" }
        """,
        tmp_path,
    )
    assert context.reconnect_timeout_ms == 9 * 3_600_000
    assert context.tags["rc_tm"] == "15m0s"
    assert context.rejoin_after_leave
    assert not context.coordinates
    assert dict(context.tuning) == {"gossip_nodes": 5, "probe_interval": 2_000}
    assert context.now_us is not None
    assert context.reconnect_timeout_of is not None
    assert context.reconnect_timeout_of(member(rc_tm="90s")) == 90_000


def test_agent_file_that_says_nothing_takes_the_defaults(tmp_path: Path) -> None:
    context = lan_context("", tmp_path)
    assert "rc_tm" not in context.tags
    assert not context.rejoin_after_leave
    assert context.coordinates
    assert dict(context.tuning) == {}


@pytest.mark.parametrize(
    ("text", "timeout_ms"),
    [("15m0s", 900_000), ("1h", 3_600_000), ("1.5s", 1_500), ("0s", None), ("-1h", None), ("soon", None), ("", None)],
)
def test_reconnect_timeout_that_a_member_asks_for(text: str, timeout_ms: int | None) -> None:
    assert advertised_reconnect_timeout_ms(member(rc_tm=text)) == timeout_ms
    assert advertised_reconnect_timeout_ms(member()) is None


def test_own_wish_is_a_tag() -> None:
    tags = lan_tags(datacenter="dc1", node_id="i", server_port=None, reconnect_timeout_ms=5_400_000)
    assert tags["rc_tm"] == "1h30m0s"
    assert advertised_reconnect_timeout_ms(member(**tags)) == 5_400_000
