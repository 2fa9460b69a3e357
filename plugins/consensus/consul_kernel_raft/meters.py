"""What a server's part in the quorum is measured by, under Consul's names (docs/agent/telemetry)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from consul_kernel.contracts.metrics import Metrics, Sample

from .core.messages import AppendEntries, Heartbeat, InstallSnapshot, Message, Request, RequestVote

_SERVED: dict[type[Message], str] = {
    AppendEntries: "raft.rpc.appendEntries",
    Heartbeat: "raft.rpc.processHeartbeat",
    InstallSnapshot: "raft.rpc.installSnapshot",
    RequestVote: "raft.rpc.requestVote",
}


class Meters:
    """Made once; whoever does something adds to it."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.barriers = metrics.counter("raft.barrier")
        self.verifications = metrics.counter("raft.verify_leader")
        self.committed = metrics.gauge("raft.commitNumLogs")
        self.apply = metrics.sample("raft.fsm.apply")
        self.apply_batch = metrics.sample("raft.fsm.applyBatch")
        self.apply_batch_size = metrics.gauge("raft.fsm.applyBatchNum")
        self._dispatch = metrics.sample("raft.leader.dispatchLog")
        self._dispatch_size = metrics.gauge("raft.leader.dispatchNumLogs")
        self._store_logs = metrics.sample("raft.rpc.appendEntries.storeLogs")
        self._served = {kind: metrics.sample(name) for kind, name in _SERVED.items()}

    def served(self, message: Message) -> Sample | None:
        """What the time until a request is answered belongs to."""
        return self._served.get(type(message))

    def stored(self, count: int, taken_s: float, *, leads: bool) -> None:
        """So many entries were written to the log, by a leader or a follower."""
        if leads:
            self._dispatch.add(taken_s * 1000)
            self._dispatch_size.set(count)
        else:
            self._store_logs.add(taken_s * 1000)

    @contextmanager
    def timed(self, *names: str) -> Iterator[None]:
        """Add how long something took, in milliseconds, under each of these names: for what happens seldom."""
        begun_s = time.perf_counter()
        try:
            yield
        finally:
            taken_ms = (time.perf_counter() - begun_s) * 1000
            for name in names:
                self.metrics.sample(name).add(taken_ms)


class PeerMeters:
    """How long one other server takes to answer."""

    def __init__(self, metrics: Metrics, server_id: str) -> None:
        labels = (("peer_id", server_id),)
        self._appends = metrics.sample("raft.replication.appendEntries.rpc", labels)
        self._entries = metrics.counter("raft.replication.appendEntries.logs", labels)
        self._heartbeats = metrics.sample("raft.replication.heartbeat", labels)

    def answered(self, request: Request, taken_s: float) -> None:
        """A request was answered so long after it was sent."""
        if isinstance(request, AppendEntries):
            self._appends.add(taken_s * 1000)
            self._entries.add(len(request.entries))
        elif isinstance(request, Heartbeat):
            self._heartbeats.add(taken_s * 1000)
