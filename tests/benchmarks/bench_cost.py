"""The CPU that one request costs an agent, as a ratio to what a bare aiohttp application needs for a constant.

    python tests/benchmarks/bench_cost.py [--seconds 3] [--rounds 3] [--only kv,health] [--servers 3]

One server with a data directory; with `--servers 3`, the cost to all three of what is asked of a follower. wrk keeps 64
connections busy; the bare application (an `aiohttp.web.Application` under uvloop that returns 200 octets, here B) and
the agent take turns. CPU per request moves less on a busy machine than rates do. DNS is asked by `dnsperf`; its figures
are microseconds. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from harness.agents import AgentProcess, Cluster  # noqa: E402
from harness.waiting import wait_for  # noqa: E402

CONNECTIONS = 64
WARM_UP_S = 1
KEYS = 1_000
VALUE = "v" * 100
CONSTANT = b'[{"LockIndex":0,"Key":"bench/key","Flags":0,"Value":"%s","CreateIndex":5,"ModifyIndex":7}]' % (b"e" * 113)
GET, PUT, REGISTER = "get", "put", "register"
_TOTAL = re.compile(r"(\d+) requests in ")
_FAULT = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")
_QUERIES = re.compile(r"Queries completed:\s+(\d+)")
_LUA = """
local n = 0
function request()
  n = n + 1
  local i = n % {keys}
  {request}
end
"""
_REQUESTS = {
    GET: 'return wrk.format("GET", "/v1/kv/bench/" .. i .. "{query}")',
    PUT: 'return wrk.format("PUT", "/v1/kv/bench/" .. i, nil, "{value}")',
    REGISTER: """
      local service = '{"ID":"w-' .. i .. '","Service":"reg","Port":' .. (1000 + n % 50000) .. ',"Tags":["a","b"]}'
      local check = '{"CheckID":"w-' .. i .. '","Name":"w","Status":"passing","ServiceID":"w-' .. i .. '"}'
      return wrk.format("PUT", "/v1/catalog/register", nil, '{"Node":"n' .. i .. '","Address":"10.0.0.1","Service":' ..
        service .. ',"Check":' .. check .. '}')""",
}


@dataclass(slots=True)
class Case:
    """One kind of request, its goal, and what each round said."""

    name: str
    group: str
    goal: float
    kind: str = ""
    query: str = ""
    path: str = ""
    cost_us: list[float] = field(default_factory=list)


SINGLE = [
    Case("KV GET, default", "kv", 0.65, GET),
    Case("KV GET, stale", "kv", 0.65, GET, "?stale"),
    Case("KV GET, consistent", "kv", 0.8, GET, "?consistent"),
    Case("KV PUT", "kv", 1.2, PUT),
    Case("health of 10", "health", 0.9, path="/v1/health/service/bench-10?passing"),
    Case("health of 100", "health", 1.3, path="/v1/health/service/bench-100?passing"),
    Case("health of 1,000", "health", 8.0, path="/v1/health/service/bench-1000?passing"),
    Case("catalog register", "register", 4.0, REGISTER),
]
FOLLOWER = [Case("KV GET through a follower", "kv", 1.6, GET)]
QUESTIONS = {
    "DNS A of 3": "bench-3.service.consul A",
    "DNS SRV of 3": "bench-3.service.consul SRV",
    "DNS A of 10": "bench-10.service.consul A",
    "DNS SRV of 10": "bench-10.service.consul SRV",
    "DNS A of a node": "bench-node-1.node.consul A",
}
DNS_GOAL_US = 40.0


def wrk(base: str, case: Case, seconds: int) -> int:
    """How many requests were answered. RuntimeError where one was not answered well."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        if case.kind:
            line = _REQUESTS[case.kind].replace("{query}", case.query).replace("{value}", VALUE)
            script.write(_LUA.replace("{keys}", str(KEYS)).replace("{request}", line))
            script.flush()
            command += ["-s", script.name]
        output = subprocess.run([*command, base + case.path], capture_output=True, text=True, check=True).stdout
    fault, found = _FAULT.search(output), _TOTAL.search(output)
    if fault or not found:
        raise RuntimeError(f"{case.name}: {fault[0] if fault else output}")
    return int(found[1])


def dnsperf(agent: AgentProcess, question: str, seconds: int) -> int:
    """How many questions were answered."""
    host, port = agent.dns
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as questions:
        questions.write(question + "\n")
        questions.flush()
        command = ["dnsperf", "-s", host, "-p", str(port), "-d", questions.name, "-l", str(seconds), "-c4", "-q100"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = _QUERIES.search(output)
    if not found:
        raise RuntimeError(f"dnsperf said nothing of its queries: {output}")
    return int(found[1])


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds that processes have used."""
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


@contextmanager
def bare() -> Iterator[tuple[str, psutil.Process]]:
    """The bare application, by its URL and its process."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}", psutil.Process(process.pid)
        finally:
            process.terminate()


def serve_bare() -> None:
    """Serve a constant; say on standard output on which port."""
    import asyncio

    import uvloop
    from aiohttp import web

    async def constant(_request: web.Request) -> web.Response:
        return web.Response(body=CONSTANT, content_type="application/json")

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/v1/kv/{key:.*}", constant)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


def prepare(agent: AgentProcess) -> None:
    """Write what will be read."""
    for number in range(KEYS):
        agent.ask("PUT", f"/v1/kv/bench/{number}", VALUE.encode())
    for size in (3, 10, 100, 1_000):
        for number in range(size):
            service = {"ID": f"b-{size}-{number}", "Service": f"bench-{size}", "Tags": ["v1", "primary"], "Port": 8000}
            check = {"CheckID": f"c-{size}-{number}", "Name": "c", "Status": "passing", "ServiceID": service["ID"]}
            document = {"Node": f"bench-node-{number}", "Address": f"10.0.{number // 250}.{number % 250}"}
            answer = agent.ask("PUT", "/v1/catalog/register", {**document, "Service": service, "Check": check})
            if answer.status != 200:
                raise RuntimeError(f"registration answered {answer.status}: {answer.body!r}")


def measure(agents: Sequence[AgentProcess], asked: AgentProcess, cases: Sequence[Case], seconds: int) -> float:
    """One round over all cases; what the bare application needs, in µs."""
    processes = [psutil.Process(agent.process.pid) for agent in agents if agent.process is not None]
    with bare() as (url, process):
        baseline = Case("bare", "", 1.0, GET)
        wrk(url, baseline, WARM_UP_S)
        before_s = cpu_s([process])
        count = wrk(url, baseline, seconds)
        bare_us = (cpu_s([process]) - before_s) / count * 1e6
    for case in cases:
        wrk(f"http://{asked.http}", case, WARM_UP_S)
        before_s = cpu_s(processes)
        count = wrk(f"http://{asked.http}", case, seconds)
        case.cost_us.append((cpu_s(processes) - before_s) / count * 1e6)
    return bare_us


def measure_dns(agent: AgentProcess, seconds: int) -> bool:
    """Print what each kind of question costs; whether all goals are met."""
    assert agent.process is not None
    processes = [psutil.Process(agent.process.pid)]
    met = True
    for name, question in QUESTIONS.items():
        dnsperf(agent, question, WARM_UP_S)
        before_s = cpu_s(processes)
        count = dnsperf(agent, question, seconds)
        cost_us = (cpu_s(processes) - before_s) / count * 1e6
        met &= cost_us <= DNS_GOAL_US
        print(f"{name:28} {cost_us:7.1f} µs        goal {DNS_GOAL_US:.0f} µs")
    return met


def main() -> int:
    """Measure, print a table, and compare with the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--only", default="kv,health,register,dns", help="groups, with commas between them")
    parser.add_argument("--config-extra", type=json.loads, default={}, help="JSON laid over the agent files")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_bare()
        return 0
    groups = arguments.only.split(",")
    cases = [case for case in (SINGLE if arguments.servers == 1 else FOLLOWER) if case.group in groups]
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(Path(home))
        extra = {"limits": {"http_max_conns_per_client": 1_000}, **arguments.config_extra}
        try:
            servers = cluster.servers(arguments.servers, **extra)
            leader = cluster.leader()
            wait_for(lambda: leader.ask("PUT", "/v1/kv/ready", b"1").status == 200, "writes", timeout_s=30)
            prepare(leader)
            asked = next((server for server in servers if server is not leader), leader)
            bare_us = [measure(servers, asked, cases, arguments.seconds) for _ in range(arguments.rounds)]
            base_us = statistics.median(bare_us)
            print(f"{'B: bare aiohttp application':28} {base_us:7.1f} µs   1.00")
            met = True
            for case in cases:
                ratio = statistics.median(case.cost_us) / base_us
                met &= ratio <= case.goal
                print(f"{case.name:28} {statistics.median(case.cost_us):7.1f} µs {ratio:6.2f}  goal {case.goal:.2f}")
            if "dns" in groups and arguments.servers == 1:
                met &= measure_dns(leader, arguments.seconds)
        finally:
            cluster.close()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
