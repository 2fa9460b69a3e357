"""The swim membership passes the contract's kit."""

from __future__ import annotations

import pytest

from consul_kernel.testing.membership_kit import MembershipContractTests
from consul_kernel.testing.membership_world import MakeMembership
from consul_kernel_swim import SwimConfig, SwimMembership


class TestSwimContract(MembershipContractTests):
    @pytest.fixture
    def make_membership(self) -> MakeMembership:
        return lambda context: SwimMembership(context, SwimConfig())
