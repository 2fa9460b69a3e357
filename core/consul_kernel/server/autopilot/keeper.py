"""The loop of autopilot, which runs while this server leads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from consul_kernel.contracts.consensus import Consensus, Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, ConsulKernelError, MembershipError
from consul_kernel.structs.autopilot import AutopilotConfig, NodeStatus

from .decisions import to_promote, to_remove
from .judging import Judgement, judge
from .looking import Lookout

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 2.0
CLEAN_UP_INTERVAL_S = 10.0
STALE_AFTER_MS = 60_000
"""How long a server of the quorum must be unknown to gossip, and silent, before it counts as dead. A leader that has
just started may not have met the others again."""


class Autopilot:
    """`judgement` is what the last look found; None while this server does not lead."""

    def __init__(
        self,
        *,
        consensus: Consensus,
        lookout: Lookout,
        config: Callable[[], AutopilotConfig],
        prepare: Callable[[], Awaitable[None]],
        force_leave: Callable[[str], Awaitable[None]],
        node_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        """`prepare` sees to it that a configuration is stored; `force_leave` makes a failed member leave, by name."""
        self._consensus = consensus
        self._lookout = lookout
        self._config = config
        self._prepare = prepare
        self._force_leave = force_leave
        self._node_id = node_id
        self._now_ms = now_ms
        self._stale_since_ms: dict[str, int] = {}
        self.judgement: Judgement | None = None

    async def run(self) -> None:
        """Look after the servers until cancelled. What goes wrong in a round is logged, and the next comes."""
        loop = asyncio.get_running_loop()
        clean_up_at_s = loop.time() + CLEAN_UP_INTERVAL_S
        self.judgement = None
        self._stale_since_ms.clear()
        try:
            while True:
                began_s = loop.time()
                cleans_up = began_s >= clean_up_at_s
                if cleans_up:
                    clean_up_at_s = began_s + CLEAN_UP_INTERVAL_S
                await self._round(cleans_up=cleans_up)
                await asyncio.sleep(max(0.0, began_s + LOOK_INTERVAL_S - loop.time()))
        finally:
            self.judgement = None

    async def _round(self, *, cleans_up: bool) -> None:
        try:
            await self._prepare()
            await self._look()
            await self._promote()
            if cleans_up:
                await self._clean_up()
        except (ConsensusError, MembershipError) as error:
            logger.info("autopilot: %s", error)
        except ConsulKernelError as error:
            logger.warning("autopilot: %s", error)
        except Exception:
            logger.exception("autopilot failed by a fault and goes on")

    async def _look(self) -> None:
        sightings, strangers = await self._lookout.look()
        now_ms = self._now_ms()
        self._stale_since_ms = {server.id: self._stale_since_ms.get(server.id, now_ms) for server in strangers}
        before, self.judgement = (
            self.judgement,
            judge(
                self.judgement,
                sightings,
                self._node_id,
                self._config(),
                now_ms=now_ms,
                now_unix_ns=time.time_ns(),
            ),
        )
        self._tell(before, self.judgement)

    @staticmethod
    def _tell(before: Judgement | None, after: Judgement) -> None:
        for server_id, health in after.health.items():
            known = before.health.get(server_id) if before is not None else None
            if known is not None and known.healthy is not health.healthy:
                name = after.sightings[server_id].name
                if health.healthy:
                    logger.info("autopilot: server %s is healthy again", name)
                else:
                    logger.warning("autopilot: server %s is unhealthy: %s", name, after.sightings[server_id].stats)

    async def _promote(self) -> None:
        judgement = self.judgement
        assert judgement is not None
        for server_id in to_promote(judgement, self._config(), self._now_ms()):
            sighting = judgement.sightings[server_id]
            logger.info("autopilot: server %s is stable and gets a vote", sighting.name)
            await self._consensus.add_server(Server(server_id, sighting.server.address, Suffrage.VOTER))

    async def _clean_up(self) -> None:
        judgement, now_ms = self.judgement, self._now_ms()
        assert judgement is not None
        servers = self._consensus.configuration.servers
        voters = sum(server.suffrage is Suffrage.VOTER for server in servers)
        stale = [
            server_id for server_id, since_ms in self._stale_since_ms.items() if now_ms - since_ms >= STALE_AFTER_MS
        ]
        for server_id in to_remove(judgement, stale, voters, self._config()):
            sighting = judgement.sightings.get(server_id)
            if sighting is not None and sighting.status is NodeStatus.FAILED:
                logger.info("autopilot: removing failed server %s", sighting.name)
                await self._force_leave(sighting.name)  # whoever has left leaves the quorum
            else:
                logger.info("autopilot: removing server %s, of which nothing is known", server_id)
                await self._consensus.remove_server(server_id)
