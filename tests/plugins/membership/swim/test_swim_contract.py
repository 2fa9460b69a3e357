"""The swim membership passes the contract's kit."""

from __future__ import annotations

import dataclasses

import pytest

from consul_kernel.testing.membership_kit import CAPABILITY_CHECKS, CHECKS, MembershipContractTests, checks_of
from consul_kernel.testing.membership_world import MakeMembership
from consul_kernel_swim import SwimConfig, SwimMembership, consul_kernel_register_membership


class TestSwimContract(MembershipContractTests):
    plugin = consul_kernel_register_membership()

    @pytest.fixture
    def make_membership(self) -> MakeMembership:
        return lambda context: SwimMembership(context, SwimConfig())


def test_capabilities_in_the_descriptor_bring_their_checks() -> None:
    plugin = consul_kernel_register_membership()
    for capability, checks in CAPABILITY_CHECKS.items():
        assert checks_of(dataclasses.replace(plugin, capabilities=frozenset({capability}))) == CHECKS + checks
    with pytest.raises(ValueError, match="telepathy"):
        checks_of(dataclasses.replace(plugin, capabilities=frozenset({"telepathy"})))
