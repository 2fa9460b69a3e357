from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import NotLeaderError
from consul_kernel.server.tombstones import TombstoneReaper
from consul_kernel.state.reaping import TOMBSTONE_TTL_MS
from core.endpoints.harness import Endpoints


async def test_the_leader_has_old_tombstones_forgotten(endpoints: Endpoints) -> None:
    now_ms = 0
    reaper = TombstoneReaper(state=endpoints.state, consensus=endpoints.consensus, now_ms=lambda: now_ms)
    await endpoints.put(b"a")
    await endpoints.delete(b"a")
    await reaper.reap()
    now_ms = TOMBSTONE_TTL_MS - 1
    await reaper.reap()
    assert endpoints.state.newest_tombstone() > 0
    now_ms += 1
    endpoints.consensus.propose_error = NotLeaderError()
    with pytest.raises(NotLeaderError):
        await reaper.reap()
    endpoints.consensus.propose_error = None
    await reaper.reap()
    now_ms += TOMBSTONE_TTL_MS
    await reaper.reap()
    assert endpoints.state.newest_tombstone() == 0
