"""Real agents in this process, on a loop of their own, and what must hold of them after any request.

That they share the process lets the fuzzer see what no answer shows: tasks, watchers and connections that stay
behind, faults that are logged, and how long the loop was kept from everybody else. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil

from consul_kernel.agent.agent import Agent
from consul_kernel.agent.daemon import _loop_factory
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.plugins import PluginManager
from consul_kernel_dns.interface import DnsInterface
from consul_kernel_dns.udp import UdpServer
from consul_kernel_http import HttpInterface
from harness.agents import free_ports
from harness.http import request
from harness.waiting import wait_for

ResultT = TypeVar("ResultT")

HEADER_TIMEOUT_S = BODY_TIMEOUT_S = 0.4
HEARTBEAT_S = 0.01
STALL_MAX_S = 1.0
"""Of the loop thread's own CPU time without a turn for anybody else: what other programs do does not count."""
SETTLE_TIMEOUT_S = 20.0
_SPARE = 4
_KEPT = frozenset({"_serve_stream", "_count"})
"""Streams between agents are kept for the next call: at most 64 of a connection."""
_FAST_GOSSIP = {"gossip_interval": "50ms", "probe_interval": "100ms", "probe_timeout": "100ms"}
"""Changes of keys wait for probes."""


class VictimAgents:
    """A server, and a client agent that passes everything on to it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.ports = [free_ports(5) for _ in range(2)]
        self.agents: list[Agent] = []
        self.faults: deque[str] = deque(maxlen=50)
        """What was logged with a traceback, or as an error of the loop."""
        self.longest_stall_s = 0.0
        self._loop: asyncio.AbstractEventLoop = _loop_factory()()
        self._thread = threading.Thread(target=self._run, name="victims", daemon=True)
        self._log = _FaultLog(self.faults)
        self._unraisable_before = sys.unraisablehook

    # --- life ---

    def start(self) -> VictimAgents:
        """Start both and wait until they answer."""
        logging.getLogger("consul_kernel").setLevel(logging.WARNING)
        logging.getLogger().addHandler(self._log)
        sys.unraisablehook = self._unraisable
        self._thread.start()
        self.do(self._start())
        for address in self.http_addresses:
            wait_for(partial(_takes_writes, address), f"{address} to take a write")
        return self

    def close(self) -> None:
        """Stop them; what still runs on the loop afterwards is a fault."""
        try:
            self.do(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(30)
            logging.getLogger().removeHandler(self._log)
            sys.unraisablehook = self._unraisable_before

    def do(self, work: Coroutine[Any, Any, ResultT], timeout_s: float = 60.0) -> ResultT:
        """Run something on the agents' loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    @property
    def http_addresses(self) -> list[str]:
        """Of the server and of the client."""
        return [f"127.0.0.1:{ports[0]}" for ports in self.ports]

    @property
    def dns_addresses(self) -> list[tuple[str, int]]:
        """Of the server and of the client."""
        return [("127.0.0.1", ports[1]) for ports in self.ports]

    # --- what must hold ---

    def check_faults(self) -> None:
        """Nothing was logged that is a fault. AssertionError else."""
        if self.faults:
            shown = "\n".join(self.faults)
            self.faults.clear()
            raise AssertionError(shown)

    def check(self) -> None:
        """Nothing was logged that is a fault, nobody was kept waiting, both still answer. AssertionError else."""
        self.check_faults()
        stall_s, self.longest_stall_s = self.longest_stall_s, 0.0
        assert stall_s < STALL_MAX_S, f"the loop was kept busy for {stall_s:.2f} s of CPU time by one turn"
        for address in self.http_addresses:
            answer = request(address, "GET", "/v1/status/leader", timeout_s=10)
            assert answer.status == 200, f"{address} answers {answer.status} {answer.body[:200]!r}"
            assert answer.json, f"{address} knows no leader"

    def probe(self) -> Mapping[str, int]:
        """What there is of everything that a request may leave behind."""
        return self.do(self._count())

    def wait_settled(self, before: Mapping[str, int]) -> None:
        """Wait until there is no more of anything than there was, once checks and cached answers are dropped."""
        self.do(self._drop_kept())

        def excess() -> dict[str, str]:
            now = self.probe()
            return {name: f"{before[name]} -> {now[name]}" for name in now if now[name] > before[name] + _SPARE}

        last: list[dict[str, str]] = []

        def settled() -> bool:
            last[:] = [excess()]
            return not last[0]

        try:
            wait_for(settled, "everything that requests have begun to be over", timeout_s=SETTLE_TIMEOUT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; left: {last[0]}\n" + self.do(self._task_names())) from None

    # --- inside ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._loop_fault)
        self._loop.call_soon(self._beat, time.thread_time())
        self._loop.run_forever()
        self._loop.close()

    def _beat(self, last_s: float) -> None:
        now_s = time.thread_time()
        self.longest_stall_s = max(self.longest_stall_s, now_s - last_s)
        self._loop.call_later(HEARTBEAT_S, self._beat, now_s)

    def _loop_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        shown = "".join(traceback.format_exception(error)) if error else ""
        self.faults.append(f"{context.get('message')}\n{shown}")

    def _unraisable(self, fault: sys.UnraisableHookArgs, /) -> None:
        """What nobody awaited or closed, told when it is collected."""
        shown = "".join(traceback.format_exception(fault.exc_value)) if fault.exc_value is not None else ""
        self.faults.append(f"{fault.err_msg}: {fault.object!r}\n{shown}")

    async def _start(self) -> None:
        for number, name in enumerate(("server", "client")):
            sources = [ConfigSource(text=json.dumps(self._config(number, name)), format="json")]
            agent = Agent(load_config(sources), PluginManager(), load=partial(load_config, sources))
            await agent.start()
            self.agents.append(agent)

    def _config(self, number: int, name: str) -> dict[str, Any]:
        http, dns, lan, wan, server = self.ports[number]
        return {
            "node_name": name,
            "data_dir": str(self._home / name),
            "bind_addr": "127.0.0.1",
            "server": number == 0,
            **({"bootstrap": True, "store": {"memory": {}}} if number == 0 else {}),
            "retry_join": [] if number == 0 else [f"127.0.0.1:{self.ports[0][2]}"],
            "retry_interval": "100ms",
            "ports": {"http": http, "dns": dns, "serf_lan": lan, "serf_wan": wan, "server": server},
            "performance": {"raft_multiplier": 1, "rpc_hold_timeout": "500ms"},
            "gossip_lan": _FAST_GOSSIP,
            "gossip_wan": _FAST_GOSSIP,
            "limits": {"http_max_conns_per_client": 0},
            "default_query_time": "60ms",
            "max_query_time": "120ms",
            "interface": [
                {
                    "http": {
                        "header_timeout_ms": int(HEADER_TIMEOUT_S * 1000),
                        "body_timeout_ms": int(BODY_TIMEOUT_S * 1000),
                    }
                },
                {"dns": {"tcp_idle_timeout_ms": 400}},
            ],
        }

    async def _stop(self) -> None:
        for agent in reversed(self.agents):
            await agent.stop()

    async def _drop_kept(self) -> None:
        for agent in self.agents:
            for interface in agent._interfaces:
                if isinstance(interface, HttpInterface):
                    interface._site.cache.close()
            for check_id in list(agent.local.checks()):
                agent.local.deregister_check(check_id)

    async def _count(self) -> dict[str, int]:
        tasks = [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") not in _KEPT]
        counts = {"tasks": len(tasks), "descriptors": psutil.Process().num_fds()}
        for agent in self.agents:
            for interface in agent._interfaces:
                if isinstance(interface, HttpInterface):
                    counts[f"{agent.node_name} connections"] = interface.connection_count
                    counts[f"{agent.node_name} streams"] = interface.stream_count
                    counts[f"{agent.node_name} blocked"] = len(interface._site.blocked)
                elif isinstance(interface, DnsInterface):
                    counts[f"{agent.node_name} queries"] = _in_flight(interface)
            if agent._server is not None:
                counts["watchers"] = len(agent._server.state.watches)
        return counts

    async def _task_names(self) -> str:
        return "\n".join(sorted(repr(task)[:200] for task in asyncio.all_tasks()))


def _takes_writes(address: str) -> bool:
    return request(address, "PUT", "/v1/kv/alive", b"yes").body == b"true"


def _in_flight(interface: DnsInterface) -> int:
    """Queries and connections that an interface is occupied with."""
    return sum(
        server._in_flight if isinstance(server, UdpServer) else len(server._connections) + len(server._answering)
        for server in interface._servers
    )


def resident_bytes() -> int:
    """What this process holds, after collecting what it does not."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


class _FaultLog(logging.Handler):
    """Keeps what is logged with a traceback."""

    def __init__(self, faults: deque[str]) -> None:
        super().__init__(logging.WARNING)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR or "Traceback" in record.getMessage():
            shown = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            self._faults.append(f"{record.name}: {record.getMessage()}\n{shown}")
