"""Tells the servers now and then where this agent stands (Consul: `agent/agent.go`, sendCoordinate)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.membership import Membership
from consul_kernel.contracts.membership_capabilities import CoordinateMembership
from consul_kernel.structs.coordinate import Coordinate, CoordinateUpdateRequest
from consul_kernel.structs.methods import COORDINATE_UPDATE, Call

logger = logging.getLogger(__name__)

FIRST_S = 2.0
"""Until the first time; Consul's agents let as long go by as before every other, and are nowhere for half a minute."""
MIN_INTERVAL_S = 15.0
UPDATES_PER_S = 64.0
"""What all agents of a datacenter together send; in a larger one each of them sends less often."""


class CoordinateSync:
    """One task. Without coordinates in the LAN pool it has nothing to do."""

    def __init__(
        self,
        *,
        datacenter: str,
        node_name: str,
        lan: Membership,
        call: Call,
        member_count: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._datacenter = datacenter
        self._node_name = node_name
        self._lan: CoordinateMembership | None = lan if isinstance(lan, CoordinateMembership) else None
        self._call = call
        self._member_count = member_count
        self._rng = rng

    def coordinate(self) -> Coordinate | None:
        """Where this agent stands in the LAN pool; None where that is not known, or switched off."""
        return self._lan.coordinate() if self._lan is not None else None

    async def run(self) -> None:
        """Until cancelled, or at once where no coordinates are kept.

        The first time is soon, if by then anything was measured: what is known is rough, but better than nothing. In a
        large pool it is spread over as long as any other, or agents that start together would all come at once.
        """
        before = self.coordinate()
        if before is None:
            return
        await asyncio.sleep(self._rng.uniform(FIRST_S, 2 * FIRST_S))
        await asyncio.sleep(self._rng.uniform(0, self._member_count() / UPDATES_PER_S))
        if self.coordinate() not in (None, before):
            await self._send()
        while self.coordinate() is not None:
            interval_s = max(MIN_INTERVAL_S, self._member_count() / UPDATES_PER_S)
            await asyncio.sleep(interval_s + self._rng.uniform(0, interval_s))
            await self._send()

    async def _send(self) -> None:
        request = CoordinateUpdateRequest(datacenter=self._datacenter, node=self._node_name, coord=self.coordinate())
        try:
            await self._call(COORDINATE_UPDATE, request)
        except (ConsulKernelError, OSError) as error:
            logger.info("the servers did not take this agent's coordinate: %s", error)
        except Exception:
            logger.exception("telling this agent's coordinate failed")
