"""The disk store against the contract, as it comes and with everything made small."""

from __future__ import annotations

from consul_kernel.testing.store_kit import StoreContractTests, StoreSubject


class TestDiskContract(StoreContractTests):
    """Every clause, with the defaults."""

    subject = StoreSubject("consul_kernel_disk")


class TestSmallDiskContract(StoreContractTests):
    """Every clause with segments that fill after a few entries, no cache, and a map that has to grow."""

    subject = StoreSubject(
        "consul_kernel_disk",
        {"segment_bytes": 4096, "log_cache_bytes": 0, "map_bytes": 16 << 20, "snapshots_retained": 3},
    )
