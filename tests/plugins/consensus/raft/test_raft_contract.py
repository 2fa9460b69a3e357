"""The contract's kit, run on the raft plugin."""

from __future__ import annotations

import dataclasses

import pytest

from consul_kernel.contracts.consensus import Consensus, ConsensusContext
from consul_kernel.testing.consensus_kit import (
    CATCH_UP_CHECKS,
    CHECKS,
    MULTI_SERVER_CHECKS,
    RECOVERY_CHECKS,
    SINGLE_SERVER_CHECKS,
    TUNING_CHECKS,
    ConsensusContractTests,
    checks_of,
)
from consul_kernel.testing.consensus_quorum import MakeConsensus
from consul_kernel_raft import consul_kernel_register_consensus

PLUGIN = consul_kernel_register_consensus()


class TestRaft(ConsensusContractTests):
    plugin = PLUGIN

    @pytest.fixture
    def make_consensus(self) -> MakeConsensus:
        def make(context: ConsensusContext) -> Consensus:
            return PLUGIN.create(context, PLUGIN.config_type())

        return make


def test_the_descriptor_brings_the_checks() -> None:
    assert checks_of(PLUGIN) == CHECKS + MULTI_SERVER_CHECKS + RECOVERY_CHECKS + TUNING_CHECKS + CATCH_UP_CHECKS
    assert checks_of(dataclasses.replace(PLUGIN, capabilities=frozenset())) == CHECKS + SINGLE_SERVER_CHECKS
    with pytest.raises(ValueError, match="time-travel"):
        checks_of(dataclasses.replace(PLUGIN, capabilities=frozenset({"time-travel"})))
