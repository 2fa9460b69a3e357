"""Checks of changing when snapshots are taken (clause 9)."""

from __future__ import annotations

from consul_kernel.contracts.consensus import SnapshotTuning, TunableConsensus

from .clauses import require
from .consensus_quorum import Check, MakeConsensus, Quorum


async def check_9_1_snapshots_are_taken_by_the_new_numbers(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1, snapshot_threshold=10_000, snapshot_interval_ms=500, trailing_logs=9_000) as quorum:
        node = await quorum.bootstrap()
        for _ in range(100):
            await node.running.propose(b"x", timeout_ms=5000)
        assert isinstance(node.running, TunableConsensus)
        require(not node.snapshots.list(), "9.1: a snapshot before there was reason for one")
        node.running.tune_snapshots(SnapshotTuning(threshold=20, interval_ms=100, trailing_logs=5))
        await quorum.until(lambda: bool(node.snapshots.list()), "snapshot", within_ms=5000)
        await quorum.until(lambda: node.log.first_index > 50, "compaction", within_ms=5000)


TUNING_CHECKS: tuple[Check, ...] = (check_9_1_snapshots_are_taken_by_the_new_numbers,)
"""What those with the capability `snapshot-tuning` keep."""
