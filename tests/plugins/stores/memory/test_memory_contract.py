"""The memory store against the contract."""

from __future__ import annotations

from consul_kernel.testing.store_kit import StoreContractTests, StoreSubject


class TestMemoryContract(StoreContractTests):
    """Every clause, without those for durable stores."""

    subject = StoreSubject("consul_kernel_memory")
