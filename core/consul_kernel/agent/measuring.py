"""What the agent measures of itself: the process, its pools, and its calls (Consul: docs/agent/telemetry)."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Mapping
from typing import Any

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind
from consul_kernel.contracts.metrics import Metrics
from consul_kernel.rpc.router import Router

from .pools import Pools

_EVENTS = {
    MemberEventKind.JOIN: "serf.member.join",
    MemberEventKind.FAILED: "serf.member.failed",
    MemberEventKind.LEAVE: "serf.member.left",
    MemberEventKind.UPDATE: "serf.member.update",
    MemberEventKind.REAP: "serf.member.reap",
}
_QUEUES = {
    "event_queue": "serf.queue.Event",
    "intent_queue": "serf.queue.Intent",
    "query_queue": "serf.queue.Query",
    "node_queue": "memberlist.queue.broadcasts",
}
_NOT_COUNTS = frozenset(
    {*_QUEUES, "event_time", "exchange_queue", "failed", "health_score", "left", "member_time", "members", "query_time"}
)
"""Figures of a membership that go up and down, or that are shown otherwise; all others only grow."""


class Runtime:
    """The process: memory, tasks, and how long collecting garbage stops it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pauses = metrics.sample("runtime.gc_pause_ns")
        self._begun_ns = 0
        self._pause_ns = 0
        self._process: Any = None
        gc.callbacks.append(self._collecting)
        metrics.before_showing(self._show)

    def close(self) -> None:
        """Look no more."""
        if self._collecting in gc.callbacks:
            gc.callbacks.remove(self._collecting)

    def _collecting(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._begun_ns = time.perf_counter_ns()
        elif self._begun_ns:
            pause_ns = time.perf_counter_ns() - self._begun_ns
            self._pause_ns += pause_ns
            self._pauses.add(pause_ns)

    def _show(self) -> None:
        if self._process is None:
            import psutil  # when somebody looks: an agent's start is not the time for it

            self._process = psutil.Process()
        memory = self._process.memory_info()
        gauge = self._metrics.gauge
        gauge("runtime.alloc_bytes").set(memory.rss)
        gauge("runtime.sys_bytes").set(memory.vms)
        gauge("runtime.heap_objects").set(sys.getallocatedblocks())
        gauge("runtime.num_goroutines").set(len(asyncio.all_tasks()))
        gauge("runtime.total_gc_runs").set(sum(generation["collections"] for generation in gc.get_stats()))
        gauge("runtime.total_gc_pause_ns").set(self._pause_ns)


def count_member_event(event: MemberEvent, metrics: Metrics) -> None:
    """Somebody of the LAN pool came, failed or left."""
    name = _EVENTS.get(event.kind)
    if name is not None:
        metrics.counter(name).add()


def measure(metrics: Metrics, pools: Pools, router: Router, datacenter: str, *, is_server: bool) -> Runtime:
    """Begin; the runtime's part is to be closed."""
    _watch_pool(pools, metrics)
    if is_server:
        _watch_members(pools, metrics, datacenter)
    _watch_calls(router, metrics)
    return Runtime(metrics)


def _watch_pool(pools: Pools, metrics: Metrics) -> None:
    """Show how the gossip is, and what waits to be told."""

    def source() -> None:
        stats = pools.lan.stats()
        for key, name in _QUEUES.items():
            if (waiting := _number(stats, key)) is not None:
                metrics.sample(name).add(waiting)
        if (score := _number(stats, "health_score")) is not None:
            metrics.gauge("memberlist.health.score").set(score)
        for key in stats.keys() - _NOT_COUNTS:
            if (total := _number(stats, key)) is not None:
                metrics.counter(f"memberlist.{key}").follow(total)

    metrics.before_showing(source)


def _watch_members(pools: Pools, metrics: Metrics, datacenter: str) -> None:
    """Show how many there are. Servers do, as in Consul: going through a large pool on every agent would be no use."""
    labels = (("datacenter", datacenter),)

    def source() -> None:
        members = pools.lan.members()
        servers = sum(member.tags.get("role") == "consul" for member in members)
        metrics.gauge("members.servers", labels).set(servers)
        metrics.gauge("members.clients", labels).set(sum(m.tags.get("role") == "node" for m in members))

    metrics.before_showing(source)


def _watch_calls(calls: Router, metrics: Metrics) -> None:
    """Show the calls to servers, and to other datacenters."""

    def source() -> None:
        metrics.counter("client.rpc").follow(calls.client_calls)
        metrics.counter("client.rpc.failed").follow(calls.client_failures)
        for datacenter, count in calls.cross_datacenter.items():
            metrics.counter("rpc.cross-dc", (("datacenter", datacenter),)).follow(count)

    metrics.before_showing(source)


def _number(stats: Mapping[str, str], key: str) -> float | None:
    """A figure of a membership, which may have others or none."""
    try:
        return float(stats[key])
    except (KeyError, ValueError):
        return None
