"""How many requests a second the http interface answers, against a bare aiohttp `web.Application`.

    python tests/benchmarks/bench_http.py [--seconds 4] [--connections 16] [--url http://127.0.0.1:8500]

Both servers run as processes of their own on uvloop, and take turns so that a busy machine disturbs both alike. The
interface has a fake agent that answers from memory: what is measured is HTTP alone. With `--url` a running agent is
measured instead: a key and a service of 100 instances are written first. Needs `wrk`. The figures that count are the
ratios: KV GET should reach 0.8 and must never fall below 0.5.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, KeyRequest
from consul_kernel.structs.methods import HEALTH_SERVICE_NODES, KVS_APPLY, KVS_GET
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.fake_agent import FakeAgent

INSTANCES = 100
ROUNDS = 3
KEY = "bench/key"
SERVICE = "bench-service"
VALUE = b"x" * 64
BASELINE_BODY = b'[{"LockIndex":0,"Key":"bench/key","Flags":0,"Value":"eA==","CreateIndex":5,"ModifyIndex":7}]'
GOAL, FLOOR = 0.8, 0.5

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_FAILED = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)")


def instance(number: int) -> CheckServiceNode:
    """One of the service's instances, as large as usual."""
    node = f"bench-node-{number}"
    checks = [
        HealthCheck(node=node, check_id="serfHealth", name="Serf Health Status", status="passing"),
        HealthCheck(
            node=node,
            check_id=f"service:{SERVICE}-{number}",
            name=f"Service '{SERVICE}' check",
            status="passing",
            service_id=f"{SERVICE}-{number}",
            service_name=SERVICE,
            service_tags=["v1", "primary"],
            type="ttl",
        ),
    ]
    service = NodeService(
        id=f"{SERVICE}-{number}",
        service=SERVICE,
        tags=["v1", "primary"],
        port=8000 + number,
        meta={"version": "1.2.3"},
        weights=Weights(),
    )
    address = f"10.0.0.{number}"
    return CheckServiceNode(
        node=Node(node=node, address=address, datacenter="dc1", tagged_addresses={"lan": address, "wan": address}),
        service=service,
        checks=checks,
    )


def entry(request: KeyRequest) -> IndexedDirEntries:
    """The answer to every KV read."""
    found = DirEntry(key=request.key, value=VALUE, create_index=5, modify_index=7)
    return IndexedDirEntries(index=7, known_leader=True, entries=[found])


async def serve_interface() -> None:
    """Serve the interface over a fake agent; say on standard output on which port."""
    from consul_kernel_http import HttpConfig, HttpInterface

    agent = FakeAgent()
    agent.answer(KVS_GET, entry)
    agent.answer(KVS_APPLY, True)
    instances = [instance(number) for number in range(INSTANCES)]
    agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(index=7, known_leader=True, nodes=instances))
    context = InterfaceContext(
        agent=agent,
        bind=[Address("127.0.0.1", 0)],
        dns=DnsSettings(),
        http=HttpSettings(),
        limits=LimitSettings(http_max_conns_per_client=1000),
    )
    interface = HttpInterface(context, HttpConfig())
    await interface.start()
    print(interface.addresses()[0].split()[0].rpartition(":")[2], flush=True)
    await asyncio.Event().wait()


async def serve_baseline() -> None:
    """Serve a constant with the usual aiohttp application; say on standard output on which port."""
    from aiohttp import web

    async def constant(_request: web.Request) -> web.Response:
        return web.Response(body=BASELINE_BODY, content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/v1/kv/{key:.*}", constant)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def started(role: str) -> Iterator[str]:
    """A server process of this file, by its base URL."""
    process = subprocess.Popen([sys.executable, __file__, "--serve", role], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait(10)


def rate(url: str, seconds: int, connections: int, script: str = "") -> float:
    """Requests per second by wrk. RuntimeError when any was not answered well."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *(["-s", script] if script else []), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = _FAILED.search(output)
    if failed:
        raise RuntimeError(f"{url}: {failed[1]}")
    found = _RATE.search(output)
    if not found:
        raise RuntimeError(f"wrk said nothing of its rate: {output}")
    return float(found[1])


def put(url: str, body: bytes) -> None:
    """One PUT."""
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT"), timeout=10) as answer:
        answer.read()


def prepare(url: str) -> None:
    """Write to a running agent what will be read."""
    put(f"{url}/v1/kv/{KEY}", VALUE)
    for number in range(INSTANCES):
        service = {"ID": f"{SERVICE}-{number}", "Service": SERVICE, "Tags": ["v1", "primary"], "Port": 8000 + number}
        check = {"CheckID": f"c-{number}", "Name": "c", "Status": "passing", "ServiceID": f"{SERVICE}-{number}"}
        document = {"Node": f"bench-node-{number}", "Address": f"10.0.0.{number}", "Service": service, "Check": check}
        put(f"{url}/v1/catalog/register", json.dumps(document).encode())


def report(baseline: str, subject: str, arguments: argparse.Namespace) -> float:
    """Measure in turns, print the table, and return the ratio of KV GET."""
    seconds, connections = arguments.seconds, arguments.connections
    cases = {
        "KV GET": (f"{subject}/v1/kv/{KEY}", ""),
        "KV PUT": (f"{subject}/v1/kv/{KEY}", arguments.put_script),
        f"health of {INSTANCES}": (f"{subject}/v1/health/service/{SERVICE}?passing", ""),
    }
    rates: dict[str, list[float]] = {name: [] for name in ("constant", *cases)}
    for _ in range(ROUNDS):
        rates["constant"].append(rate(f"{baseline}/v1/kv/{KEY}", seconds, connections))
        for name, (url, script) in cases.items():
            rates[name].append(rate(url, seconds, connections, script))
    reference = statistics.median(rates["constant"])
    print(f"{'bare web.Application, constant':32} {reference:10.0f}/s   1.00")
    for name in cases:
        measured = statistics.median(rates[name])
        print(f"{name:32} {measured:10.0f}/s {measured / reference:6.2f}")
    return statistics.median(rates["KV GET"]) / reference


def main() -> int:
    """Measure, print, and fail below the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--url", help="measure the agent that runs here, instead of a fake one")
    parser.add_argument("--serve", choices=("interface", "baseline"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        import uvloop

        uvloop.run(serve_interface() if arguments.serve == "interface" else serve_baseline())
        return 0
    with temporary_put_script() as arguments.put_script, started("baseline") as baseline:
        if arguments.url:
            subject = arguments.url.rstrip("/")
            prepare(subject)
            ratio = report(baseline, subject, arguments)
        else:
            with started("interface") as subject:
                ratio = report(baseline, subject, arguments)
    verdict = "goal reached" if ratio >= GOAL else "below the goal" if ratio >= FLOOR else "BELOW THE FLOOR"
    print(f"KV GET {ratio:.2f} of the constant: {verdict} ({GOAL}, floor {FLOOR})")
    return 0 if ratio >= FLOOR else 1


@contextmanager
def temporary_put_script() -> Iterator[str]:
    """wrk's script for a PUT."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "PUT"\nwrk.body = "{VALUE.decode()}"\n')
        script.flush()
        yield script.name


if __name__ == "__main__":
    sys.exit(main())
