"""For how long nothing can be written when the leader is killed, leaves, or hands over.

    python tests/benchmarks/bench_failover.py [--servers 3] [--rounds 5] [--only kill,leave,transfer] [--multiplier 1]

Real servers on this machine, with a data directory each. A client at every server that stays writes without a pause;
the figure of a round is the longest time between two acknowledged writes at one of them, the worst server counting.
Exits with 1 where the median is above the budget.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

BUDGET_S = {"kill": 3.0, "leave": 0.3, "transfer": 0.3}
"""At raft_multiplier 1."""
BEFORE_S, AFTER_S = 0.5, 1.0
WRITE_TIMEOUT_S = 10.0
PAUSE_S = 0.005


class Writer(threading.Thread):
    """Writes a key through one server, one write after the other, and remembers when each was acknowledged."""

    def __init__(self, server: AgentProcess, end: threading.Event) -> None:
        super().__init__()
        self.server = server
        self.acknowledged_s: list[float] = []
        self.refused = 0
        self._end = end

    def run(self) -> None:
        """Until `end` is set."""
        while not self._end.wait(PAUSE_S):
            try:
                answer = self.server.ask("PUT", f"/v1/kv/failover/{self.server.name}", "x", timeout_s=WRITE_TIMEOUT_S)
            except OSError:
                self.refused += 1
                continue
            if answer.status == 200:
                self.acknowledged_s.append(time.monotonic())
            else:
                self.refused += 1

    def gap_s(self) -> float:
        """The longest time between two acknowledged writes."""
        return max(after - before for before, after in zip(self.acknowledged_s, self.acknowledged_s[1:], strict=False))


def voters(server: AgentProcess) -> int:
    """How many servers have a vote."""
    return sum(entry["Voter"] for entry in server.get("/v1/operator/raft/configuration")["Servers"])


def wait_until_formed(cluster: Cluster) -> AgentProcess:
    """All vote; the leader."""
    for server in cluster.agents:
        wait_for(lambda s=server: voters(s) == len(cluster.agents), f"all vote, says {server.name}", timeout_s=60)  # type: ignore[misc]
    return cluster.leader(timeout_s=60)


def kill(leader: AgentProcess) -> None:
    """As a crash would."""
    leader.kill()


def leave(leader: AgentProcess) -> None:
    """Gracefully, until its process has ended."""
    leader.ask("PUT", "/v1/agent/leave", timeout_s=30.0)
    wait_for(lambda: not leader.running, f"{leader.name} has left", timeout_s=30)
    leader.process = None


def transfer(leader: AgentProcess) -> None:
    """The leadership only."""
    answer = leader.ask("POST", "/v1/operator/raft/transfer-leader")
    if answer.status != 200:
        raise OSError(f"not handed over: {answer.status} {answer.body!r}")


EVENTS: dict[str, Callable[[AgentProcess], None]] = {"kill": kill, "leave": leave, "transfer": transfer}


def measure(cluster: Cluster, event: Callable[[AgentProcess], None]) -> tuple[float, int]:
    """One round: seconds without a write, and writes that were refused or not answered."""
    leader = wait_until_formed(cluster)
    end = threading.Event()
    writers = [Writer(server, end) for server in cluster.agents if server is not leader]
    for writer in writers:
        writer.start()
    time.sleep(BEFORE_S)
    event(leader)
    done_s = time.monotonic()
    for writer in writers:
        wait_for(
            lambda w=writer: w.acknowledged_s and w.acknowledged_s[-1] > done_s,  # type: ignore[misc]
            f"writes at {writer.server.name}",
            timeout_s=60,
        )
    time.sleep(AFTER_S)
    end.set()
    for writer in writers:
        writer.join()
    if not leader.running:
        leader.start()
    return max(writer.gap_s() for writer in writers), sum(writer.refused for writer in writers)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(EVENTS))
    parser.add_argument("--multiplier", type=int, default=1)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(Path(home))
        try:
            servers = cluster.servers(options.servers, performance={"raft_multiplier": options.multiplier})
            for server in servers:  # whoever comes back after a leave must know more than itself
                server.config["retry_join"] = [other.lan for other in servers if other is not server]
            for name in options.only.split(","):
                rounds = [measure(cluster, EVENTS[name]) for _ in range(options.rounds)]
                failed |= report(name, rounds, BUDGET_S[name] * (options.multiplier if name == "kill" else 1))
        finally:
            cluster.close()
    return 1 if failed else 0


def report(name: str, rounds: Sequence[tuple[float, int]], budget_s: float) -> bool:
    """Print one line; whether it is above the budget."""
    gaps = sorted(gap for gap, _ in rounds)
    median_s = statistics.median(gaps)
    print(
        f"{name:9} no write for {median_s:6.3f} s (median), {gaps[0]:6.3f} to {gaps[-1]:6.3f} s; "
        f"{sum(refused for _, refused in rounds)} writes refused in {len(rounds)} rounds; budget {budget_s:.1f} s"
        + ("  ABOVE" if median_s > budget_s else ""),
        flush=True,
    )
    return median_s > budget_s


if __name__ == "__main__":
    sys.exit(main())
