"""How fast DNS answers, beside a bare asyncio responder that sends one fixed answer.

Run it as a script; it starts its servers as processes of their own and asks them with dnsperf:

    python tests/benchmarks/bench_dns.py [--seconds 3] [--clients 4]

Both servers run on the same loop and machine, so the ratios matter and the absolute numbers do not.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

HERE = Path(__file__).resolve().parent


def _spelling(number: int) -> str:
    """A name in one of many mixtures of cases, as resolvers write it that guard against forgery."""
    return "".join(c.upper() if number >> at & 1 else c for at, c in enumerate("web.service.consul"))


QUESTIONS = {
    "A, one instance": "single.service.consul A",
    "A, three instances": "web.service.consul A",
    "SRV, three instances": "web.service.consul SRV",
    "A, three of forty": "many.service.consul A",
    "node": "web-00.node.consul A",
    "no such name": "none.service.consul A",
    "A, asked anew each time": "\n".join(f"{_spelling(number)} A" for number in range(20_000)),
}


class _Bare(asyncio.DatagramProtocol):
    """Patches the id into one fixed answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = (
            b"\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00" + data[12:] + b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01"
        )
        self._transport.sendto(data[:2] + answer, addr)


async def _serve_bare() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Bare, local_addr=("127.0.0.1", 0))
    print(transport.get_extra_info("sockname")[1], flush=True)
    await loop.create_future()


def _remembered(call: Any) -> Any:
    """Calls that cost next to nothing the second time: the catalog is not what is measured here."""
    replies: dict[tuple[str, str], Any] = {}

    async def remembered(method: Any, request: Any) -> Any:
        key = (method.name, getattr(request, "service_name", "") or getattr(request, "node", ""))
        if key not in replies:
            replies[key] = await call(method, request)
        return replies[key]

    return remembered


async def _serve_dns() -> None:
    sys.path.insert(0, str(HERE.parent))
    from plugins.interfaces.dns.fake_catalog import FakeCatalog, make_interface, port_of

    catalog = FakeCatalog()
    catalog.serve("single", "10.0.0.1")
    catalog.serve("web", "10.0.1.1", "10.0.1.2", "10.0.1.3")
    catalog.serve("many", *(f"10.0.2.{number}" for number in range(40)))
    catalog.agent.call = _remembered(catalog.agent.call)  # type: ignore[method-assign]
    interface = make_interface(catalog)
    await interface.start()
    print(port_of(interface), flush=True)
    await asyncio.get_running_loop().create_future()


def _run_server(which: str) -> None:
    import uvloop

    uvloop.run(_serve_bare() if which == "bare" else _serve_dns())


def _queries_per_second(port: int, question: str, seconds: float, clients: int) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as questions:
        questions.write(question + "\n")
        questions.flush()
        command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", questions.name]
        command += ["-l", str(seconds), "-c", str(clients), "-q", "100"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Queries per second:\s+([\d.]+)", output)
    assert found is not None, output
    return float(found[1])


def _start(which: str) -> tuple[subprocess.Popen[str], int]:
    server = subprocess.Popen([sys.executable, __file__, "--serve", which], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, int(server.stdout.readline())


def main() -> int:
    """Print one line for each kind of question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--serve", choices=("bare", "dns"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _run_server(options.serve)
        return 0
    if shutil.which("dnsperf") is None:
        print("dnsperf is not installed", file=sys.stderr)
        return 1
    bare, bare_port = _start("bare")
    ours, our_port = _start("dns")
    try:
        for title, question in QUESTIONS.items():
            # Side by side, so that whatever else the machine does weighs on both alike.
            base = _queries_per_second(bare_port, question, options.seconds, options.clients)
            rate = _queries_per_second(our_port, question, options.seconds, options.clients)
            print(f"{title:24} {rate:10,.0f} q/s   {rate / base:.2f} of bare ({base:,.0f})", flush=True)
    finally:
        for server in (bare, ours):
            server.terminate()
            server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
