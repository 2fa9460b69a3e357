"""How soon a datacenter of real processes has formed, and how soon everybody knows that one of them was killed.

    python tests/benchmarks/bench_formation.py [--servers 3] [--clients 5] [--rounds 3] [--config-extra JSON]

All start at once, with default LAN settings. Formed means: every agent shows one leader and all members alive, and the
catalog has every node with a passing serfHealth. Then a client is killed (`kill -9`). Beside the times stands the CPU
that one start costs, which is what decides on a machine with few processors. Exits with 1 above a budget.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

FORMED_BUDGET_S = 3.0
FAILED_BUDGET_S = 8.0
ALIVE, FAILED = 1, 4


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds."""

    leader_s: float
    formed_s: float
    start_cpu_s: float
    """Of one process until all had formed, the mean."""
    seen_first_s: float
    seen_by_all_s: float
    critical_s: float


def statuses(agent: AgentProcess) -> dict[str, int]:
    """What an agent thinks of everyone."""
    return {member["Name"]: member["Status"] for member in agent.get("/v1/agent/members")}


def has_formed(agents: Sequence[AgentProcess]) -> bool:
    """Whether all agents see all others, one leader, and a catalog that is complete."""
    leaders = {agent.get("/v1/status/leader") for agent in agents}
    if len(leaders) != 1 or "" in leaders:
        return False
    for agent in agents:
        found = statuses(agent)
        if len(found) < len(agents) or set(found.values()) != {ALIVE}:
            return False
    checks = agents[0].get("/v1/health/state/passing")
    return {check["Node"] for check in checks if check["CheckID"] == "serfHealth"} == {agent.name for agent in agents}


def cpu_s(agent: AgentProcess) -> float:
    """CPU seconds of its process."""
    assert agent.process is not None
    used = psutil.Process(agent.process.pid).cpu_times()
    return float(used.user + used.system)


def watch_failure(victim: AgentProcess, watchers: Sequence[AgentProcess]) -> tuple[float, float, float]:
    """Seconds from the kill until the first and the last agent show it failed, and until its check is critical."""
    victim.kill()
    killed_s = time.monotonic()
    seen: dict[str, float] = {}
    critical_s = 0.0

    def everybody_knows() -> bool:
        nonlocal critical_s
        for agent in watchers:
            if agent.name not in seen and statuses(agent)[victim.name] == FAILED:
                seen[agent.name] = time.monotonic() - killed_s
        if not critical_s:
            checks = watchers[0].get(f"/v1/health/node/{victim.name}")
            if any(check["CheckID"] == "serfHealth" and check["Status"] == "critical" for check in checks):
                critical_s = time.monotonic() - killed_s
        return len(seen) == len(watchers) and critical_s > 0

    wait_for(everybody_knows, f"{victim.name} failed everywhere", timeout_s=60)
    return min(seen.values()), max(seen.values()), critical_s


def one_round(arguments: argparse.Namespace, home: Path) -> Round:
    """Form, kill a client, end."""
    cluster = Cluster(home)
    expect, extra = arguments.servers, arguments.config_extra
    servers = [cluster.agent(f"s{n}", server=True, bootstrap_expect=expect, **extra) for n in range(expect)]
    clients = [cluster.agent(f"c{n}", **extra) for n in range(arguments.clients)]
    agents = [*servers, *clients]
    for agent in agents:
        agent.config["retry_join"] = [server.lan for server in servers]
    try:
        started_s = time.monotonic()
        for agent in agents:
            agent.start()
        wait_for(lambda: servers[0].get("/v1/status/leader"), "a leader", timeout_s=60)
        leader_s = time.monotonic() - started_s
        wait_for(lambda: has_formed(agents), "formation", timeout_s=60)
        formed_s = time.monotonic() - started_s
        start_cpu_s = statistics.mean(map(cpu_s, agents))
        failure = watch_failure(clients[-1], agents[:-1]) if clients else (0.0, 0.0, 0.0)
        return Round(leader_s, formed_s, start_cpu_s, *failure)
    except AssertionError:
        print(cluster.logs())
        raise
    finally:
        if arguments.show_logs:
            print(cluster.logs())
        cluster.close()


def main() -> int:
    """Print one line per round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config-extra", type=json.loads, default={}, help="JSON laid over the agent files")
    parser.add_argument("--show-logs", action="store_true", help="print every agent's log after each round")
    arguments = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as home:
            found = one_round(arguments, Path(home))
        rounds.append({name: getattr(found, name) for name in Round.__slots__})
        load = os.getloadavg()[0]
        print(f"round {number + 1}: {json.dumps({k: round(v, 2) for k, v in rounds[-1].items()})}, load {load:.1f}")
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    pool = f"{arguments.servers} servers + {arguments.clients} clients"
    print(f"{pool}: leader {medians['leader_s']:.2f} s, formed {medians['formed_s']:.2f} s (budget {FORMED_BUDGET_S})")
    print(f"CPU of one start: {medians['start_cpu_s']:.2f} s")
    print(
        f"kill -9 of a client: failed at the first {medians['seen_first_s']:.2f} s, at all "
        f"{medians['seen_by_all_s']:.2f} s (budget {FAILED_BUDGET_S}), critical {medians['critical_s']:.2f} s"
    )
    return int(medians["formed_s"] > FORMED_BUDGET_S or medians["seen_by_all_s"] > FAILED_BUDGET_S)


if __name__ == "__main__":
    sys.exit(main())
