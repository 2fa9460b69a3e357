"""The leader has tombstones forgotten once no blocking query can depend on them."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.contracts.consensus import Consensus
from consul_kernel.state.commands import CommandType, TombstoneRequest, encode_command
from consul_kernel.state.machine import ReplicatedState
from consul_kernel.state.reaping import TombstoneAges

PROPOSE_TIMEOUT_MS = 30_000


class TombstoneReaper:
    """Looks at the newest tombstone whenever `reap` is called, which the leader does about once a minute."""

    def __init__(self, *, state: ReplicatedState, consensus: Consensus, now_ms: Callable[[], int]) -> None:
        self._state = state
        self._consensus = consensus
        self._now_ms = now_ms
        self._ages = TombstoneAges()

    def restart(self) -> None:
        """Forget what was seen: the state is another one."""
        self._ages = TombstoneAges()

    async def reap(self) -> None:
        """Propose to forget what has become old. Raises ConsensusError; what was due is then due again later."""
        newest = self._state.newest_tombstone()
        up_to = self._ages.observe(newest, self._now_ms())
        if not up_to:
            return
        command = encode_command(CommandType.TOMBSTONE, TombstoneRequest(reap_index=up_to))
        try:
            await self._consensus.propose(command, timeout_ms=PROPOSE_TIMEOUT_MS)
        except BaseException:
            self._ages = TombstoneAges()
            raise
