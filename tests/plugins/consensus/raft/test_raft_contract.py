"""The contract's kit, run on the raft plugin."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.consensus import Consensus, ConsensusContext
from consul_kernel.testing.consensus_kit import ConsensusContractTests
from consul_kernel.testing.consensus_quorum import MakeConsensus
from consul_kernel_raft import consul_kernel_register_consensus


class TestRaft(ConsensusContractTests):
    @pytest.fixture
    def make_consensus(self) -> MakeConsensus:
        plugin = consul_kernel_register_consensus()

        def make(context: ConsensusContext) -> Consensus:
            return plugin.create(context, plugin.config_type())

        return make
