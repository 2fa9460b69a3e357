"""The in-memory transport fulfils the contract, as any other one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.transport_kit import TransportContractTests, TransportPair


class TestMemoryTransport(TransportContractTests):
    @pytest.fixture
    async def pair(self) -> AsyncIterator[TransportPair]:
        network = MemoryNetwork(random.Random(1))
        a, b = network.transport("10.0.0.1"), network.transport("10.0.0.2")
        yield TransportPair(a=a, host_a="10.0.0.1", b=b, host_b="10.0.0.2")
        await a.aclose()
        await b.aclose()
