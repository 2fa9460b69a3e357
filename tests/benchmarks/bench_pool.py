"""Many members of one pool on loopback: what they cost the servers, how soon all know all, and how soon a death.

    python tests/benchmarks/bench_pool.py [--members 2000] [--agents 0] [--servers 3] [--joining 20] [--rest 30]

`--members` are memberships of client agents in this one process, each with sockets of its own at 127.x.y.z, through the
real `tcp` transport; `--agents` are whole client agents, each a process of some 50 MiB. The servers are whole agents
always.

One process does here what thousands of machines would: each member that joins is told to each other a dozen times. So
members join `--joining` at a time at most, and each waits, for two seconds at most, until this process is late by no
more than 50 ms; the share of a core that it used stands beside the times.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from consul_kernel.agent.tags import lan_tags
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import MembershipContext, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_tcp.transport import TcpTransport
from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

PORT = 8301
SETTLED_S = 3600.0
LATE_S = 0.05
LOOK_S = 0.02
PATIENCE_S = 2.0
FILES_PER_MEMBER = 4
_NETWORK = random.randrange(10, 250)
"""So that two runs do not meet."""


def say(line: str) -> None:
    print(line, flush=True)


def cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


class Processes:
    """Agents that are processes, seen from outside."""

    def __init__(self, agents: Sequence[AgentProcess]) -> None:
        self.agents = agents
        self._processes = [psutil.Process(agent.process.pid) for agent in agents if agent.process is not None]
        self._cpu_s = [0.0] * len(self._processes)
        self.mark()

    def mark(self) -> None:
        """Count CPU from now on."""
        self._cpu_s = [cpu_s(process) for process in self._processes]
        self._since_s = time.monotonic()

    def cost(self) -> str:
        """CPU since the last mark, as a share of a core, and memory now; per server."""
        seconds = time.monotonic() - self._since_s
        shares = [
            100 * (cpu_s(process) - before) / seconds
            for process, before in zip(self._processes, self._cpu_s, strict=True)
        ]
        memory = [process.memory_info().rss / 2**20 for process in self._processes]
        return (
            f"CPU {' / '.join(f'{share:.1f}' for share in shares)} %, "
            f"memory {' / '.join(f'{mib:.0f}' for mib in memory)} MiB"
        )

    def mean_cost(self) -> str:
        """The same for one of many."""
        seconds = (time.monotonic() - self._since_s) * len(self._processes)
        used_s = sum(map(cpu_s, self._processes)) - sum(self._cpu_s)
        memory = sum(process.memory_info().rss for process in self._processes) / len(self._processes)
        return f"CPU {100 * used_s / seconds:.2f} %, memory {memory / 2**20:.0f} MiB"

    def alive(self, agent: AgentProcess) -> int:
        """How many members one server shows alive."""
        return sum(member["Status"] == MemberStatus.ALIVE for member in agent.get("/v1/agent/members"))

    def registered(self) -> int:
        """Nodes with a passing serfHealth in the catalog."""
        checks = self.agents[0].get("/v1/health/state/passing")
        return sum(check["CheckID"] == "serfHealth" for check in checks)


def make_member(transport: TcpTransport, number: int) -> SwimMembership:
    """The membership of a client agent, as the agent would make it."""
    host = f"127.{_NETWORK}.{number >> 8}.{number & 255}"
    context = MembershipContext(
        node_name=f"client-{number}",
        bind=Address(host, PORT),
        advertise=Address(host, PORT),
        tags=lan_tags(datacenter="dc1", node_id=str(uuid.uuid4()), server_port=None),
        transport=transport,
        cipher=None,
        on_event=lambda event: None,
        now_ms=lambda: time.monotonic_ns() // 1_000_000,
        rng=random.Random(number),
    )
    return SwimMembership(context, SwimConfig())


async def until(condition: Callable[[], bool], what: str) -> float:
    """Seconds until it is so, looked at ten times a second."""
    started_s = time.monotonic()
    async with asyncio.timeout(SETTLED_S):
        while not condition():
            await asyncio.sleep(0.1)
    took_s = time.monotonic() - started_s
    say(f"  {what}: {took_s:.1f} s")
    return took_s


def alive_in(member: SwimMembership) -> int:
    return sum(other.status is MemberStatus.ALIVE for other in member.members())


class InProcess:
    """The members of this process."""

    def __init__(self, members: Sequence[SwimMembership]) -> None:
        self.members = list(members)
        self._complete: set[int] = set()

    def all_see(self, count: int) -> bool:
        """Whether every member shows `count` others alive; who has once is not asked again."""
        for number, member in enumerate(self.members):
            if number not in self._complete:
                if alive_in(member) < count:
                    return False
                self._complete.add(number)
        return True

    def knowing_dead(self, name: str) -> int:
        """How many show that one failed."""
        return sum(
            any(other.name == name and other.status is MemberStatus.FAILED for other in member.members())
            for member in self.members
        )


class Lateness:
    """How late this process is: by how much the last of its short sleeps was too long."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.most_s = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            wanted_s = time.monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.now_s = time.monotonic() - wanted_s
            self.most_s = max(self.most_s, self.now_s)


async def join_all(pool: InProcess, servers: Processes, at_once: int, lateness: Lateness) -> None:
    """All join, each as `retry_join` would have it."""
    gate = asyncio.Semaphore(at_once)
    addresses = [Address(agent.lan.split(":")[0], int(agent.lan.split(":")[1])) for agent in servers.agents]

    async def join(number: int, member: SwimMembership) -> None:
        async with gate:
            while True:
                patience_s = time.monotonic() + PATIENCE_S
                while lateness.now_s > LATE_S and time.monotonic() < patience_s:
                    await asyncio.sleep(LOOK_S)
                try:
                    await member.join([addresses[number % len(addresses)]])
                except MembershipError as error:
                    say(f"  {error}")
                else:
                    return

    await asyncio.gather(*(join(number, member) for number, member in enumerate(pool.members)))


async def measure(arguments: argparse.Namespace, cluster: Cluster) -> None:
    agents = cluster.servers(arguments.servers)
    for agent in agents:
        agent.wait_leader()
    servers = Processes(agents)
    clients = [cluster.client(f"agent-{number}", agents) for number in range(arguments.agents)]
    everybody = arguments.servers + arguments.agents + arguments.members
    transport = TcpTransport()
    pool = InProcess([make_member(transport, number) for number in range(arguments.members)])
    for member in pool.members:
        await member.start()
    say(f"{arguments.members} members in one process, {arguments.agents} agents, {arguments.servers} servers")
    own, own_before_s, started_s = psutil.Process(), cpu_s(psutil.Process()), time.monotonic()
    lateness = Lateness()
    watch = asyncio.create_task(lateness.watch())
    if pool.members:
        await join_all(pool, servers, arguments.joining, lateness)
        say(f"  all have joined: {time.monotonic() - started_s:.1f} s")
        await until(lambda: pool.all_see(everybody), "then all see all")
    for agent in agents:
        wait_for(lambda agent=agent: servers.alive(agent) == everybody, "the servers see all", timeout_s=SETTLED_S)  # type: ignore[misc]
    wait_for(lambda: servers.registered() == everybody, "the catalog holds all", timeout_s=SETTLED_S)
    took_s = time.monotonic() - started_s
    say(f"  the catalog holds all after {took_s:.1f} s; servers: {servers.cost()}")
    share = (cpu_s(own) - own_before_s) / took_s
    say(f"  this process: {100 * share:.0f} % of a core, late by {lateness.most_s:.2f} s at most")

    await asyncio.sleep(arguments.settle)
    servers.mark()
    client_processes = Processes(clients)
    own_before_s, started_s = cpu_s(own), time.monotonic()
    await asyncio.sleep(arguments.rest)
    share = (cpu_s(own) - own_before_s) / (time.monotonic() - started_s)
    say(f"at rest: servers: {servers.cost()}")
    if pool.members:
        memory = own.memory_info().rss / 2**20
        each = 100 * share / len(pool.members)
        say(f"  a member: {each:.3f} % of a core (all {100 * share:.0f} %), {memory / len(pool.members):.2f} MiB")
        await kill_one(pool)
    if clients:
        say(f"  an agent: {client_processes.mean_cost()}")
        kill_agent(clients[-1], servers)
    watch.cancel()
    await asyncio.gather(*(member.aclose() for member in pool.members))
    await transport.aclose()


async def kill_one(pool: InProcess) -> None:
    victim = pool.members.pop()
    name = victim.local_member.name
    await victim.aclose()
    say(f"{name} falls silent")
    await until(lambda: pool.knowing_dead(name) > 0, "the first knows")
    await until(lambda: pool.knowing_dead(name) == len(pool.members), "then all know")


def kill_agent(victim: AgentProcess, servers: Processes) -> None:
    """What the servers show is all that is asked here: asking a hundred agents would be the load that is measured."""
    victim.kill()
    killed_s = time.monotonic()

    def failed_for(agent: AgentProcess) -> bool:
        return any(
            member["Name"] == victim.name and member["Status"] == MemberStatus.FAILED
            for member in agent.get("/v1/agent/members")
        )

    for agent in servers.agents:
        wait_for(lambda agent=agent: failed_for(agent), "the death known", timeout_s=SETTLED_S)  # type: ignore[misc]
    say(f"{victim.name} is killed: failed at all servers after {time.monotonic() - killed_s:.1f} s")


def allow_files(wanted: int) -> None:
    """Raise the limit of open files as far as allowed. Exits where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        raise SystemExit(f"{wanted} open files are needed, and {hard} allowed: ulimit -n")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=0)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--joining", type=int, default=20, help="joins under way at a time")
    parser.add_argument("--settle", type=float, default=60, help="seconds to wait before the pool counts as at rest")
    parser.add_argument("--rest", type=float, default=30, help="seconds of rest to measure")
    arguments = parser.parse_args()
    logging.getLogger("consul_kernel.swim").setLevel(logging.ERROR)  # thousands of members warn of full queues
    allow_files(FILES_PER_MEMBER * arguments.members + 1000)
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(Path(home))
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(measure(arguments, cluster))
        except BaseException:
            for agent in cluster.agents[: arguments.servers]:
                say(f"=== {agent.name}\n{agent.log_text()[-3000:]}")
            raise
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
