"""How soon those who wait are answered, what idle watchers weigh, and how soon many registrations are in the catalog.

    python tests/benchmarks/bench_watchers.py [--rounds 5] [--only key,service,distinct,idle,registrations,instances]

One server with a data directory, and a client agent where services are registered. Watchers are blocking queries, each
with a connection of its own, all on the event loop of this process: a figure has what it needs itself in it, too.
Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

WATCHERS = 2_000
DISTINCT, WRITES_PER_S, WRITE_S = 1_000, 200, 10
IDLE, OTHER_FILES = 20_000, 300
"""Fewer where a process may not open so many files."""
SERVICES = 1_000
INSTANCES = 10_000
LANES, WRITERS = 16, 64
ANSWER_TIMEOUT_S = 30.0
CONNECTED_AT_ONCE = 500
"""A connection on which nothing is asked is closed after some seconds."""
LOOPBACK_SOURCES = 4
"""Connections come from so many addresses of the loopback network: one has too few ports."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What came out, in `unit`, and the most that it should be."""

    name: str
    value: float
    unit: str
    goal: float

    def __str__(self) -> str:
        verdict = "" if self.value <= self.goal else "   MISSED"
        return f"{self.name:<44} {self.value:>9.1f} {self.unit:<4} goal {self.goal:g}{verdict}"


class Asker(asyncio.Protocol):
    """A connection that asks one thing at a time; `answered` is the moment and the answer's octets.

    It is done while nothing is asked.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.answered: asyncio.Future[tuple[float, bytes]] = asyncio.get_running_loop().create_future()
        self.answered.set_result((0.0, b""))
        self.index = 0
        self._received = b""
        self._whole = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, method: str, path: str, body: bytes = b"") -> asyncio.Future[tuple[float, bytes]]:
        """Send a request; the future is done when its answer is here."""
        self._received, self._whole = b"", 0
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(
            b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (method.encode(), path.encode(), len(body))
            + body
        )
        return self.answered

    def watch(self, path: str) -> asyncio.Future[tuple[float, bytes]]:
        """Ask for what comes after the last answer."""
        return self.ask("GET", f"{path}{'&' if '?' in path else '?'}index={self.index}&wait=300s")

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._whole:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._received[:end].lower()
            self._whole = end + 4 + _number(head, b"\r\ncontent-length: ")
            self.index = _number(head, b"\r\nx-consul-index: ")
        if len(self._received) < self._whole or self.answered.done():
            return
        if self._received[9:12] == b"200":
            self.answered.set_result((time.perf_counter(), self._received))
        else:
            self.answered.set_exception(RuntimeError(f"answered with {self._received[:300]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionError("closed while an answer was awaited"))


def _number(head: bytes, name: bytes) -> int:
    at = head.find(name)
    return int(head[at + len(name) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def connect(agent: AgentProcess, count: int) -> list[Asker]:
    """So many connections."""
    loop = asyncio.get_running_loop()
    host, port = agent.http.split(":")
    askers = []
    for number in range(count):
        source = (f"127.0.0.{1 + number % LOOPBACK_SOURCES}", 0)
        askers.append((await loop.create_connection(Asker, host, int(port), local_addr=source))[1])
    return askers


async def in_lanes(agent: AgentProcess, requests: Iterable[tuple[str, str, bytes]], lanes: int = LANES) -> None:
    """Send requests over a few connections, one at a time on each."""
    left = iter(requests)

    async def work(asker: Asker) -> None:
        for method, path, body in left:
            await asker.ask(method, path, body)
        asker.transport.abort()

    await asyncio.gather(*[work(asker) for asker in await connect(agent, lanes)])


def instance(service: str, number: int, *, port: int = 80, nodes: int = 1_000) -> tuple[str, str, bytes]:
    """The request that registers an instance in the catalog, with a check."""
    node, name = f"node-{number % nodes}", f"{service}-{number}"
    body = {
        "Node": node,
        "Address": f"10.1.{number % nodes >> 8}.{number % nodes & 255}",
        "Service": {"ID": name, "Service": service, "Port": port, "Tags": ["primary", "v1"]},
        "Check": {"CheckID": f"check-{name}", "Name": "alive", "Status": "passing", "ServiceID": name},
    }
    return "PUT", "/v1/catalog/register", json.dumps(body).encode()


async def fan_out(
    server: AgentProcess, path: str, change: Callable[[int], tuple[str, str, bytes]], rounds: int
) -> list[float]:
    """Milliseconds from a write until the last of all watchers is answered, for each round."""
    await in_lanes(server, [change(0)], 1)
    askers = await connect(server, WATCHERS)
    (writer,) = await connect(server, 1)
    await asyncio.gather(*[asker.ask("GET", path) for asker in askers])
    last_ms = []
    for number in range(1, rounds + 1):
        waiting = [asker.watch(path) for asker in askers]
        await all_wait(server, WATCHERS)
        begun = time.perf_counter()
        await writer.ask(*change(number))
        answers = await asyncio.wait_for(asyncio.gather(*waiting), ANSWER_TIMEOUT_S)
        last_ms.append((max(moment for moment, _ in answers) - begun) * 1_000)
    return last_ms


async def all_wait(server: AgentProcess, count: int) -> None:
    """Until the server has that many queries that block."""

    def blocking() -> bool:
        gauges = server.get("/v1/agent/metrics")["Gauges"]
        return any(one["Name"].endswith("queries_blocking") and one["Value"] >= count for one in gauges)

    await asyncio.to_thread(wait_for, blocking, f"{count} blocking queries")


async def key(server: AgentProcess, _client: AgentProcess, rounds: int) -> Sequence[Figure]:
    last_ms = await fan_out(server, "/v1/kv/fan", lambda n: ("PUT", "/v1/kv/fan", b"%d" % n), rounds)
    return [Figure(f"{WATCHERS} on one key, the last", statistics.median(last_ms), "ms", 80)]


async def service(server: AgentProcess, _client: AgentProcess, rounds: int) -> Sequence[Figure]:
    await in_lanes(server, (instance("fan", number) for number in range(10)))
    path = "/v1/health/service/fan?passing"
    last_ms = await fan_out(server, path, lambda n: instance("fan", 3, port=9_000 + n), rounds)
    return [Figure(f"{WATCHERS} on one service, the last", statistics.median(last_ms), "ms", 150)]


async def distinct(server: AgentProcess, _client: AgentProcess, _rounds: int) -> Sequence[Figure]:
    """A watcher on each key while keys are written at an even rate, whatever the answers take."""
    await in_lanes(server, (("PUT", f"/v1/kv/one/{number}", b"0") for number in range(DISTINCT)))
    askers = await connect(server, DISTINCT)
    writers = await connect(server, WRITERS)
    await asyncio.gather(*[asker.ask("GET", f"/v1/kv/one/{number}") for number, asker in enumerate(askers)])
    delays_ms: list[float] = []
    written_s: dict[int, float] = {}

    async def follow(number: int, asker: Asker) -> None:
        while True:
            moment, _ = await asker.watch(f"/v1/kv/one/{number}")
            delays_ms.append((moment - written_s[number]) * 1_000)

    followers = [asyncio.ensure_future(follow(number, asker)) for number, asker in enumerate(askers)]
    await all_wait(server, DISTINCT)
    begun = time.perf_counter()
    for number in range(WRITES_PER_S * WRITE_S):
        await asyncio.sleep(begun + number / WRITES_PER_S - time.perf_counter())
        writer = next((one for one in writers if one.answered.done()), None)
        if writer is None:
            raise RuntimeError(f"{WRITERS} writes were not answered in time")
        written_s[number % DISTINCT] = time.perf_counter()
        writer.ask("PUT", f"/v1/kv/one/{number % DISTINCT}", b"%d" % (number + 1))
    await asyncio.to_thread(wait_for, lambda: len(delays_ms) >= WRITES_PER_S * WRITE_S, "every change delivered")
    for follower in followers:
        follower.cancel()
    quantiles = statistics.quantiles(delays_ms, n=100)
    return [Figure(f"{DISTINCT} on a key each, {WRITES_PER_S} writes/s, p99", quantiles[98], "ms", 7)]


async def idle(server: AgentProcess, _client: AgentProcess, _rounds: int) -> Sequence[Figure]:
    """What a watcher weighs that waits for a key of its own."""
    count = min(IDLE, allow_open_files() - OTHER_FILES)
    before = resident(server)
    askers: list[Asker] = []
    while len(askers) < count:
        for asker in await connect(server, min(CONNECTED_AT_ONCE, count - len(askers))):
            asker.index = 1
            asker.watch(f"/v1/kv/idle/{len(askers)}")
            askers.append(asker)
    await all_wait(server, count)
    weight_kb = (resident(server) - before) / count / 1_000
    for asker in askers:
        asker.answered.cancel()
        asker.transport.abort()
    return [Figure(f"{count} idle watchers, each", weight_kb, "kB", 15)]


async def registrations(server: AgentProcess, client: AgentProcess, _rounds: int) -> Sequence[Figure]:
    """Until the catalog has all that are registered at one client agent."""

    def request(number: int) -> tuple[str, str, bytes]:
        check = {"CheckID": f"check-{number}", "TTL": "600s", "Status": "passing"}
        body = {"ID": f"m{number}", "Name": f"m{number}", "Port": 1_000 + number, "Tags": ["a"], "Check": check}
        return "PUT", "/v1/agent/service/register", json.dumps(body).encode()

    begun = time.perf_counter()
    await in_lanes(client, map(request, range(SERVICES)))
    names = {f"m{number}" for number in range(SERVICES)}
    await asyncio.to_thread(wait_for, lambda: names <= set(server.get("/v1/catalog/services")), "all in the catalog")
    return [Figure(f"{SERVICES} registered at a client, all there", time.perf_counter() - begun, "s", 3)]


async def instances(server: AgentProcess, _client: AgentProcess, _rounds: int) -> Sequence[Figure]:
    await in_lanes(server, (instance("web", number) for number in range(INSTANCES)))
    return [Figure(f"memory with {INSTANCES} instances", resident(server) / 2**20, "MiB", 190)]


def resident(agent: AgentProcess) -> int:
    """Octets of memory that its process holds."""
    assert agent.process is not None
    return int(psutil.Process(agent.process.pid).memory_info().rss)


CASES: dict[str, Callable[[AgentProcess, AgentProcess, int], Awaitable[Sequence[Figure]]]] = {
    one.__name__: one for one in (key, service, distinct, idle, registrations, instances)
}


def run_case(name: str, rounds: int) -> Sequence[Figure]:
    """One case, with agents of its own."""
    limits = {"http_max_conns_per_client": 0}
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(Path(home))
        try:
            (server,) = cluster.servers(1, limits=limits)
            client = cluster.client("client", [server], limits=limits)
            for agent in (server, client):
                agent.wait_leader()
            return uvloop.run(CASES[name](server, client, rounds))  # type: ignore[arg-type]
        finally:
            cluster.close()


def allow_open_files() -> int:
    """As many as may be, for this process and the agents that it starts; says how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> int:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CASES))
    arguments = parser.parse_args()
    allow_open_files()
    missed = 0
    for name in arguments.only:
        for figure in run_case(name, arguments.rounds):
            print(figure, flush=True)
            missed += figure.value > figure.goal
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
