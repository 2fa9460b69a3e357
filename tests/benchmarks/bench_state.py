"""How fast the state and its endpoints answer: `python tests/benchmarks/bench_state.py`.

Times are the best of several rounds, per call; they say what the state and the endpoint cost, without HTTP.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.kv import DirEntry, KeyRequest, KVOp, KVSRequest
from consul_kernel.structs.methods import HEALTH_SERVICE_NODES, KVS_GET, KVS_LIST
from consul_kernel.structs.query import ServiceSpecificRequest
from consul_kernel.structs.service import NodeService

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from consul_kernel.state import CommandType, encode_command
from core.endpoints.harness import Endpoints

ROUNDS = 5


def report(name: str, best_s: float, unit: str = "µs", scale: float = 1e6) -> None:
    sys.stdout.write(f"{name:<58}{best_s * scale:>10.2f} {unit}\n")


async def time_calls(call: Callable[[], Awaitable[object]], count: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            await call()
        best = min(best, (time.perf_counter() - began) / count)
    return best


def register(endpoints: Endpoints, service: str, instances: int) -> None:
    for number in range(instances):
        node = f"{service}-{number}"
        apply(
            endpoints,
            CommandType.REGISTER,
            RegisterRequest(
                node=node,
                address="10.0.0.1",
                service=NodeService(id="1", service=service, port=80, tags=["a", "b"], meta={"version": "1"}),
                checks=[
                    HealthCheck(node=node, check_id="serfHealth", name="Serf Health Status", status="passing"),
                    HealthCheck(node=node, check_id="c", name="c", status="passing", service_id="1"),
                ],
            ),
        )


def apply(endpoints: Endpoints, kind: CommandType, request: RegisterRequest | KVSRequest) -> None:
    endpoints.state.apply([(endpoints.state.applied_index + 1, encode_command(kind, request))])


def flap(endpoints: Endpoints, service: str) -> None:
    node = f"{service}-0"
    status = "passing" if endpoints.state.applied_index % 2 else "critical"
    check = HealthCheck(node=node, check_id="c", name="c", status=status, service_id="1")
    apply(endpoints, CommandType.REGISTER, RegisterRequest(node=node, skip_node_update=True, check=check))


async def reads(endpoints: Endpoints) -> None:
    for number in range(1000):
        await endpoints.put(b"k/%d" % number, b"x" * 64)
    get = endpoints.handler(KVS_GET)
    request = KeyRequest(key=b"k/500")
    report("KVS.Get, one key again and again", await time_calls(lambda: get(request), 20000))
    keys = [KeyRequest(key=b"k/%d" % number) for number in range(1000)]
    rng = random.Random(1)
    report("KVS.Get, one of 1000 keys by chance", await time_calls(lambda: get(rng.choice(keys)), 20000))
    absent = KeyRequest(key=b"none")
    report("KVS.Get, an absent key", await time_calls(lambda: get(absent), 20000))
    listing = endpoints.handler(KVS_LIST)
    report("KVS.List, 1000 keys", await time_calls(lambda: listing(KeyRequest(key=b"k/")), 20))
    health = endpoints.handler(HEALTH_SERVICE_NODES)
    for instances in (10, 100, 1000):
        service = f"s{instances}"
        register(endpoints, service, instances)
        asked = ServiceSpecificRequest(service_name=service)
        report(f"Health.ServiceNodes, {instances} instances", await time_calls(lambda: health(asked), 2000))  # noqa: B023

        async def after_a_change() -> None:
            flap(endpoints, service)  # noqa: B023
            await health(asked)  # noqa: B023

        report("  and after a check of one of them changed (with apply)", await time_calls(after_a_change, 50))
        endpoints.state.catalog.forget_all()
        began = time.perf_counter()
        await health(asked)
        report("  and with nothing cached", time.perf_counter() - began)


async def writes(endpoints: Endpoints) -> None:
    for size in (1, 64):
        best = float("inf")
        for round_ in range(ROUNDS):
            commands = [
                encode_command(
                    CommandType.KVS,
                    KVSRequest(op=KVOp.SET, dir_ent=DirEntry(key=b"w/%d" % number, value=b"%d" % round_)),
                )
                for number in range(2000)
            ]
            began = time.perf_counter()
            for at in range(0, len(commands), size):
                first = endpoints.state.applied_index + 1
                endpoints.state.apply(list(enumerate(commands[at : at + size], first)))
            best = min(best, (time.perf_counter() - began) / len(commands))
        report(f"apply of KV writes in batches of {size}, each", best)


async def waits(endpoints: Endpoints) -> None:
    get = endpoints.handler(KVS_GET)
    for name, count, distinct in (("2000 waits on one key", 2000, False), ("1000 waits on their own keys", 1000, True)):
        requests = []
        for number in range(count):
            key = b"b/%d" % number if distinct else b"b/all"
            index = await endpoints.put(key, b"0")
            requests.append(KeyRequest(key=key, min_query_index=index))
        index = endpoints.state.applied_index
        began = time.perf_counter()
        tasks = [asyncio.ensure_future(get(KeyRequest(key=r.key, min_query_index=index))) for r in requests]
        while len(endpoints.state.watches) < count:
            await asyncio.sleep(0)
        report(f"{name}: to begin, each", (time.perf_counter() - began) / count)
        began = time.perf_counter()
        await endpoints.put(b"unrelated", b"%d" % count)
        report(f"{name}: an unrelated write", time.perf_counter() - began)
        began = time.perf_counter()
        for key in {r.key for r in requests}:
            await endpoints.put(key, b"1")
        await asyncio.gather(*tasks)
        report(f"{name}: to wake and answer, each", (time.perf_counter() - began) / count)


async def main() -> None:
    await reads(Endpoints())
    await writes(Endpoints())
    await waits(Endpoints())


if __name__ == "__main__":
    asyncio.run(main())
