"""Real servers under every fault at once, while clients write and read; exits with 1 when a promise was broken.

    python tests/torture/run.py --servers 3 --minutes 10 --faults all

Needs Linux, iproute2 and the right to make namespaces (root, or user namespaces); exits with 2 where that is missing.
Every server has a network namespace and a small disk in memory, and everything ends with the run. On a failure the
history, the faults and the servers' logs are kept in a folder, which is named. The seed decides which faults strike,
not when the servers do what: the same seed is not the same run.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parent.parent))

from torture import namespaces
from torture.clients import Client
from torture.faults import FAULTS
from torture.history import History
from torture.nemesis import Nemesis
from torture.report import keep, summary
from torture.servers import Servers
from torture.verdict import judge, read_everything

JOIN_S = 30.0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3, choices=(3, 5, 7))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--faults", default="all", help=f"all, none, or some of {','.join(FAULTS)}")
    parser.add_argument("--clients", type=int, default=4, help="for each server")
    parser.add_argument("--think-ms", type=float, default=30.0, help="a client's longest pause between operations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep history and logs also where all was well")
    options = parser.parse_args(arguments)
    chosen = {"all": list(FAULTS), "none": []}.get(options.faults, options.faults.split(","))
    unknown = [name for name in chosen if name not in FAULTS]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    options.chosen = chosen
    return options


def torture(options: argparse.Namespace, home: Path) -> list[str]:
    """Run it, print what came of it, and return what must not happen."""
    begun_s = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begun_s:7.1f} s  {what}", flush=True)

    servers = Servers(home, options.servers)
    history, end = History(), threading.Event()
    clients = [
        Client(number, servers.all[number % options.servers], history, options.seed, end, options.think_ms / 1000)
        for number in range(options.clients * options.servers)
    ]
    nemesis = Nemesis(servers, options.chosen, random.Random(options.seed), tell)
    try:
        servers.start()
        tell("formed")
        for client in clients:
            client.start()
        nemesis.run(options.minutes * 60)
        end.set()
        for client in clients:
            client.join(JOIN_S)
        lost = [] if nemesis.chronicle.failures else read_everything(servers, history)
    finally:
        end.set()
        servers.close()
    verdict = judge(history, nemesis.chronicle.strikes, lost)
    failures = [*nemesis.chronicle.failures, *verdict.violations]
    failures += [f"{client.name}: {client.failure!r}" for client in clients if client.failure is not None]
    print(summary(history, nemesis.chronicle, verdict, servers))
    if failures or options.keep:
        print(f"kept: {keep(history, nemesis.chronicle, failures, servers)}")
    return failures


def main() -> int:
    """The exit code."""
    options = parse(sys.argv[1:])
    try:
        namespaces.enter()
    except namespaces.NoNamespacesError as error:
        print(f"no torture here: this machine cannot make namespaces: {error}", file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="consul-kernel-torture-"))
    try:
        failures = torture(options, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for failure in failures:
        print(f"VIOLATION {failure}")
    print(f"{len(failures)} violations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
