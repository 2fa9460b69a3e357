"""A whole agent beside the barest servers that Python offers, as ratios, in one run.

    python tests/benchmarks/run.py [--seconds 3] [--rounds 3] [--config-extra '{"store": {"memory": {}}}']

One server with a data directory, reads and writes through its real interfaces. HTTP stands beside an aiohttp
`web.Application` that returns a constant, DNS beside an asyncio responder that returns one; they take turns, so that a
busy machine disturbs both alike. Then what an idle agent costs, and how soon a started one answers. Needs `wrk` and
`dnsperf`. Exits with 1 below the floor that KV GET has.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from harness.agents import AgentProcess, Cluster  # noqa: E402
from harness.waiting import wait_for  # noqa: E402

GET_FLOOR = 0.5
IDLE_SETTLE_S = 3.0
IDLE_WATCH_S = 15.0
STARTS = 3
INSTANCES = 3
GOALS = {"KV GET": "≥ 0.8, never < 0.5", "memory, idle": "≤ 60 MiB", "CPU, idle": "≤ 2 %", "first answer": "≤ 1 s"}

_REQUESTS = re.compile(r"Requests/sec:\s+([\d.]+)")
_WRK_FAULT = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")
_QUERIES = re.compile(r"Queries per second:\s+([\d.]+)")


def wrk(url: str, seconds: float, script: str = "") -> float:
    """Requests a second on 16 connections. RuntimeError where one was not answered well."""
    command = ["wrk", "-t1", "-c16", f"-d{seconds:g}s", *(["-s", script] if script else []), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    fault, found = _WRK_FAULT.search(output), _REQUESTS.search(output)
    if fault or not found:
        raise RuntimeError(f"{url}: {fault[0] if fault else output}")
    return float(found[1])


def dnsperf(port: int, question: str, seconds: float) -> float:
    """Queries a second from four clients."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as questions:
        questions.write(question + "\n")
        questions.flush()
        command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", questions.name]
        command += ["-l", f"{seconds:g}", "-c", "4", "-q", "100"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = _QUERIES.search(output)
    if not found:
        raise RuntimeError(f"dnsperf said nothing of its rate: {output}")
    return float(found[1])


@contextmanager
def served(script: str, role: str) -> Iterator[int]:
    """A bare server of one of the benchmarks beside this file; its port."""
    command = [sys.executable, str(HERE / script), "--serve", role]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


@contextmanager
def put_script() -> Iterator[str]:
    """wrk's script for a PUT."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "PUT"\nwrk.body = "{"x" * 64}"\n')
        script.flush()
        yield script.name


def prepare(agent: AgentProcess) -> None:
    """Write what will be read."""
    agent.ask("PUT", "/v1/kv/bench/key", "x" * 64)
    for number in range(INSTANCES):
        service = {"ID": f"web-{number}", "Service": "web", "Port": 8000 + number, "Tags": ["v1"]}
        check = {"CheckID": f"c-{number}", "Name": "c", "Status": "passing", "ServiceID": f"web-{number}"}
        node = {"Node": f"node-{number}", "Address": f"10.0.0.{number}", "Service": service, "Check": check}
        assert agent.ask("PUT", "/v1/catalog/register", node).status == 200


def first_answers(cluster: Cluster, extra: dict[str, Any]) -> float:
    """Seconds from the start of the process to the first answered read of the leader, the median of some."""
    seconds = []
    for number in range(STARTS):
        agent = cluster.agent(f"start-{number}", server=True, bootstrap=True, **extra)
        started_s = time.monotonic()
        agent.start()
        wait_for(lambda agent=agent: agent.get("/v1/status/leader"), "the first answer")  # type: ignore[misc]
        seconds.append(time.monotonic() - started_s)
        agent.end()
    return statistics.median(seconds)


def idle_cost(agent: AgentProcess) -> tuple[float, float]:
    """MiB of memory and percent of a core of an agent that nobody asks anything."""
    assert agent.process is not None
    process = psutil.Process(agent.process.pid)
    time.sleep(IDLE_SETTLE_S)
    before, started_s = process.cpu_times(), time.monotonic()
    time.sleep(IDLE_WATCH_S)
    after = process.cpu_times()
    used_s = after.user + after.system - before.user - before.system
    return process.memory_info().rss / 2**20, 100 * max(0.0, used_s) / (time.monotonic() - started_s)


def throughput(agent: AgentProcess, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Rate and ratio to the bare server, by what is asked; medians over the rounds."""
    seconds = arguments.seconds
    with ExitStack() as stack:
        http = f"http://127.0.0.1:{stack.enter_context(served('bench_http.py', 'baseline'))}/v1/kv/bench/key"
        dns = stack.enter_context(served("bench_dns.py", "bare"))
        script = stack.enter_context(put_script())
        base = f"http://{agent.http}/v1"
        cases: dict[str, Callable[[], float]] = {
            "bare HTTP": lambda: wrk(http, seconds),
            "KV GET": lambda: wrk(f"{base}/kv/bench/key", seconds),
            "KV GET stale": lambda: wrk(f"{base}/kv/bench/key?stale", seconds),
            "KV PUT": lambda: wrk(f"{base}/kv/bench/key", seconds, script),
            f"health of {INSTANCES}": lambda: wrk(f"{base}/health/service/web?passing", seconds),
            "bare DNS": lambda: dnsperf(dns, "web.service.consul A", seconds),
            f"DNS A of {INSTANCES}": lambda: dnsperf(agent.dns[1], "web.service.consul A", seconds),
            f"DNS SRV of {INSTANCES}": lambda: dnsperf(agent.dns[1], "web.service.consul SRV", seconds),
            "DNS A of a node": lambda: dnsperf(agent.dns[1], "node-1.node.consul A", seconds),
        }
        rounds = [{name: measure() for name, measure in cases.items()} for _ in range(arguments.rounds)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in cases}
    return {
        name: (rate, rate / medians["bare DNS" if "DNS" in name else "bare HTTP"]) for name, rate in medians.items()
    }


def main() -> int:
    """Measure, print one table, and judge KV GET."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config-extra", type=json.loads, default={}, help="JSON laid over the agent file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(Path(home))
        try:
            first_s = first_answers(cluster, arguments.config_extra)
            limits = {"http_max_conns_per_client": 1000}
            agent = cluster.agent("bench", server=True, bootstrap=True, limits=limits, **arguments.config_extra).start()
            agent.wait_leader()
            memory_mib, cpu_percent = idle_cost(agent)
            prepare(agent)
            rates = throughput(agent, arguments)
        finally:
            cluster.close()
    for name, (rate, ratio) in rates.items():
        print(f"{name:20} {rate:10,.0f} /s {ratio:8.2f} of bare   {GOALS.get(name, '')}")
    print(f"{'memory, idle':20} {memory_mib:10.1f} MiB                   {GOALS['memory, idle']}")
    print(f"{'CPU, idle':20} {cpu_percent:10.2f} %                     {GOALS['CPU, idle']}")
    print(f"{'first answer':20} {first_s:10.2f} s                     {GOALS['first answer']}")
    return 0 if rates["KV GET"][1] >= GET_FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
