"""A client and three servers whose leader keeps moving, on a network that keeps failing.

Whatever happens, a call ends in time with a reply or an error of ours, and no write is carried out twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from consul_kernel.contracts.errors import NotLeaderError, RpcError
from consul_kernel.structs.kv import KeyRequest, KVSRequest
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET
from consul_kernel.testing.memory_network import LinkQuality, MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from core.rpc.rpc_cluster import Node, make_client, start_servers

CALL_LIMIT_MS = 60_000 + 2 * 7000 + 1000


async def _torment(network: MemoryNetwork, nodes: list[Node], client_host: str, rng: random.Random) -> None:
    """Partitions, healing, crashes of connections and elections, until cancelled."""
    hosts = [client_host, *(node.host for node in nodes)]
    while True:
        await asyncio.sleep(rng.uniform(0.1, 2))
        choice = rng.random()
        if choice < 0.4:
            leader = rng.choice(nodes)
            for node in nodes:
                node.consensus.is_leader = False
                node.consensus.leader = None
            leader.lead(*rng.sample(nodes, rng.randint(0, 3)))
        elif choice < 0.7:
            network.partition(*rng.sample(hosts, 2), one_way=rng.random() < 0.3)
        else:
            network.heal()


@pytest.mark.parametrize("seed", range(6))
def test_calls_end_and_writes_happen_once(seed: int) -> None:
    async def program() -> str:
        rng = random.Random(seed)
        network = MemoryNetwork(rng, quality=LinkQuality(delay_ms_min=1, delay_ms_max=30), stream_break_ms=1500)
        nodes = await start_servers(network, "s1", "s2", "s3")
        client, pool = make_client(network, *nodes)
        carried_out: Counter[str] = Counter()
        acknowledged: set[str] = set()
        outcomes: Counter[str] = Counter()

        for node in nodes:

            async def apply(request: KVSRequest, node: Node = node) -> bool:
                await asyncio.sleep(rng.uniform(0, 0.05))
                if not node.consensus.is_leader:
                    raise NotLeaderError("node is not the leader")
                carried_out[request.token] += 1
                await asyncio.sleep(rng.uniform(0, 0.05))
                return True

            node.endpoints.on_apply = apply

        async def call(number: int) -> None:
            token = f"w{number}"
            started = virtual_now_ms()
            router = rng.choice([client, *(node.router for node in nodes)])
            try:
                if rng.random() < 0.5:
                    await router.call(KVS_APPLY, KVSRequest(token=token))
                    acknowledged.add(token)
                    outcomes["write"] += 1
                else:
                    await router.call(KVS_GET, KeyRequest(allow_stale=rng.random() < 0.3))
                    outcomes["read"] += 1
            except RpcError as error:
                outcomes[type(error).__name__] += 1
            assert virtual_now_ms() - started <= CALL_LIMIT_MS

        tormentor = asyncio.create_task(_torment(network, nodes, "10.0.0.99", rng))
        calls = []
        for number in range(300):
            calls.append(asyncio.create_task(call(number)))
            await asyncio.sleep(rng.uniform(0, 0.3))
        await asyncio.gather(*calls)
        tormentor.cancel()

        assert max(carried_out.values()) == 1
        assert acknowledged <= carried_out.keys()
        assert outcomes["write"] > 30
        assert outcomes["read"] > 30
        assert outcomes.total() == 300

        # Peace: everything works again at once, and nothing was left behind.
        network.heal()
        nodes[0].lead(*nodes[1:])
        for node in nodes[1:]:
            node.consensus.is_leader = False
        assert await client.call(KVS_APPLY, KVSRequest(token="peace")) is True
        for one in (pool, *(node.pool for node in nodes)):
            await one.aclose()
        await asyncio.sleep(60)
        assert all(node.server._connections.total == node.server._streams.total == 0 for node in nodes)
        assert all(node.server._pending.held == node.server._unread.held == 0 for node in nodes)
        return repr((sorted(carried_out), sorted(outcomes.items()), virtual_now_ms()))

    assert run_virtual(program()) == run_virtual(program())
