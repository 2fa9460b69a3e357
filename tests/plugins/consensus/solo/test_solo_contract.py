"""The contract's kit, run on the solo plugin."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.consensus import Consensus, ConsensusContext
from consul_kernel.testing.consensus_kit import ConsensusContractTests
from consul_kernel.testing.consensus_quorum import MakeConsensus
from consul_kernel_solo import consul_kernel_register_consensus

PLUGIN = consul_kernel_register_consensus()


class TestSolo(ConsensusContractTests):
    plugin = PLUGIN

    @pytest.fixture
    def make_consensus(self) -> MakeConsensus:
        def make(context: ConsensusContext) -> Consensus:
            return PLUGIN.create(context, PLUGIN.config_type())

        return make
