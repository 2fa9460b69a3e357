"""How fast three persisted servers take writes of the KV store, beside three etcd servers in the same run.

    python tests/benchmarks/bench_etcd.py [--seconds 4] [--rounds 2] [--clients 1,16,64,256] [--syncs]

Both clusters run all the time on this machine, each on its own data directories, and are asked in turn, at the
leader, for PUTs of 100 bytes to a thousand keys: ours by /v1/kv, etcd by its version 2 API, which is as plain as
ours. The figures that count are the ratios: rates above 1 are faster than etcd. `--syncs` starts both once more under
strace and counts the flushes of all three servers for each write. Needs Debian's `etcd-server`, `wrk`, and `strace`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.agents import Cluster, free_ports
from harness.http import request
from harness.waiting import wait_for

SERVERS = 3
WARM_UP_S = 1
SCRIPT = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("PUT", string.format(%s, (n * 7919) %% 1000), nil, %s)
end
"""
VALUE = "v" * 100
STRACE = ["strace", "--seccomp-bpf", "-f", "-c", "-e", "trace=fdatasync,fsync", "-o"]

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_COUNT = re.compile(r"(\d+) requests in")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_FAILED = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one measurement."""

    per_second: float
    p99_ms: float
    cpu_us: float
    """CPU of all three servers for each write."""
    requests: int


class Subject:
    """Three servers: where they are asked, and their processes."""

    def __init__(self, name: str, leader: str, script: str, processes: Sequence[psutil.Process], folder: Path) -> None:
        self.name = name
        self._leader = leader
        self.processes = processes
        self._script = folder / f"{name}.lua"
        self._script.write_text(script)

    def measure(self, clients: int, seconds: float) -> Figures:
        """Write as fast as `clients` connections can."""
        cpu_s = self.cpu_s()
        command = ["wrk", f"-t{min(2, clients)}", f"-c{clients}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
        command += ["-s", str(self._script), f"http://{self._leader}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        failed = _FAILED.search(ran)
        if failed:
            raise SystemExit(f"{self.name}: {failed[1]}")
        rate, count, p99 = _RATE.search(ran), _COUNT.search(ran), _P99.search(ran)
        if not (rate and count and p99):
            raise SystemExit(f"wrk said what was not understood:\n{ran}")
        requests = int(count[1])
        cpu_us = (self.cpu_s() - cpu_s) / max(1, requests) * 1e6
        return Figures(float(rate[1]), float(p99[1]) * _MS[p99[2]], cpu_us, requests)

    def cpu_s(self) -> float:
        """CPU seconds of all servers so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)


def start_ours(folder: Path, prefix: Callable[[str], Sequence[str]]) -> tuple[Subject, Callable[[], None]]:
    """Three servers, and how they are ended."""
    cluster = Cluster(folder)
    servers = [cluster.agent(f"s{n}", server=True, bootstrap_expect=SERVERS) for n in range(SERVERS)]
    for server in servers:
        server.config["retry_join"] = [other.lan for other in servers]
        server.config["limits"] = {"http_max_conns_per_client": 10_000}
        server.prefix = prefix(server.name)
        server.start()
    leader = cluster.leader(timeout_s=60)
    wait_for(lambda: len(leader.get("/v1/status/peers")) == SERVERS, "three peers", timeout_s=60)
    processes = [psutil.Process(server.process.pid) for server in servers if server.process is not None]
    script = SCRIPT % ('"/v1/kv/bench/%d"', f'"{VALUE}"')
    return Subject("ours", leader.http, script, _traced(processes), folder), cluster.close


def start_etcd(folder: Path, prefix: Callable[[str], Sequence[str]]) -> tuple[Subject, Callable[[], None]]:
    """Three etcd servers as Debian has them, on disk."""
    ports = [free_ports(2) for _ in range(SERVERS)]
    peers = ",".join(f"e{n}=http://127.0.0.1:{peer}" for n, (_, peer) in enumerate(ports))
    started = []
    for n, (client, peer) in enumerate(ports):
        with (folder / f"e{n}.log").open("wb") as log:
            flags = {
                "name": f"e{n}",
                "data-dir": str(folder / f"e{n}"),
                "enable-v2": "true",
                "log-level": "error",
                "initial-cluster": peers,
                "initial-cluster-state": "new",
                "listen-client-urls": f"http://127.0.0.1:{client}",
                "advertise-client-urls": f"http://127.0.0.1:{client}",
                "listen-peer-urls": f"http://127.0.0.1:{peer}",
                "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
            }
            command = [*prefix(f"e{n}"), "etcd", *(f"--{name}={value}" for name, value in flags.items())]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
    addresses = [f"127.0.0.1:{client}" for client, _ in ports]
    leader = str(wait_for(lambda: _etcd_leader(addresses), "a leader of etcd", timeout_s=60))
    script = SCRIPT % (f'"/v2/keys/bench/%d?value={VALUE}"', "nil")

    def close() -> None:
        for process in started:
            process.kill()
            process.wait()

    return Subject("etcd", leader, script, _traced([psutil.Process(p.pid) for p in started]), folder), close


def _etcd_leader(addresses: Sequence[str]) -> str | None:
    for address in addresses:
        answer = request(address, "GET", "/v2/stats/self")
        if answer.status == 200 and json.loads(answer.body)["state"] == "StateLeader":
            return address
    return None


def _traced(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The servers themselves, where strace stands in front of them."""
    return [process.children()[0] if process.name() == "strace" else process for process in processes]


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Rates, latencies and CPU of both, in turn."""
    ours, end_ours = start_ours(folder, lambda _: ())
    etcd, end_etcd = start_etcd(folder, lambda _: ())
    try:
        print("clients      ours      etcd  ratio   p99 ours      etcd  cpu ours    etcd")
        for clients in options.clients:
            rounds: dict[str, list[Figures]] = {"ours": [], "etcd": []}
            for subject in (ours, etcd):
                subject.measure(clients, WARM_UP_S)
            for _ in range(options.rounds):
                for subject in (ours, etcd):
                    rounds[subject.name].append(subject.measure(clients, options.seconds))
            mine, theirs = (_median(rounds[name]) for name in ("ours", "etcd"))
            ratio = mine.per_second / theirs.per_second
            print(
                f"{clients:7} {mine.per_second:7.0f}/s {theirs.per_second:7.0f}/s {ratio:6.2f} {mine.p99_ms:7.1f} ms"
                f" {theirs.p99_ms:6.1f} ms {mine.cpu_us:6.0f} us {theirs.cpu_us:4.0f} us",
                flush=True,
            )
    finally:
        end_ours()
        end_etcd()


def _median(rounds: Sequence[Figures]) -> Figures:
    return sorted(rounds, key=lambda figures: figures.per_second)[(len(rounds) - 1) // 2]


def count_syncs(options: argparse.Namespace, folder: Path) -> None:
    """Flushes of all three servers for each write; strace stops nothing but these calls."""
    print("flushes of all servers for each write:")
    for clients in options.clients:
        found = []
        for name, start in (("ours", start_ours), ("etcd", start_etcd)):
            home = folder / f"{name}-{clients}"
            home.mkdir()
            subject, end = start(home, lambda server, home=home: [*STRACE, str(home / f"{server}.syncs")])  # type: ignore[misc]
            try:
                writes = subject.measure(clients, options.seconds).requests
                for process in subject.processes:
                    process.send_signal(signal.SIGKILL)
                    process.wait(10)
                wait_for(lambda h=home: len(_syncs(h)) == SERVERS, "counts of strace", timeout_s=10)  # type: ignore[misc]
            finally:
                end()
            found.append(f"{name} {sum(_syncs(home)) / writes:.3f} (of {writes})")
        print(f"{clients:7} {', '.join(found)}", flush=True)


def _syncs(home: Path) -> list[int]:
    """What strace has counted, by server."""
    counts = []
    for file in home.glob("*.syncs"):
        calls = re.findall(
            r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(?:fdatasync|fsync)$", file.read_text(), re.M
        )
        if calls:
            counts.append(sum(map(int, calls)))
    return counts


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="1,16,64,256", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--syncs", action="store_true", help="count flushes, too")
    options = parser.parse_args()
    for tool in ["etcd", "wrk", *(["strace"] if options.syncs else [])]:
        if shutil.which(tool) is None:
            raise SystemExit(f"`{tool}` is needed (Debian: etcd-server, wrk, strace)")
    with tempfile.TemporaryDirectory() as home:
        compare(options, Path(home))
        if options.syncs:
            count_syncs(options, Path(home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
