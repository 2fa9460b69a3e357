"""What goes over the network, under the names of memberlist's metrics (Consul: docs/agent/telemetry)."""

from __future__ import annotations

from consul_kernel.contracts.metrics import Metrics


class Meters:
    """Counts octets and streams. What is sealed counts as it travels."""

    def __init__(self, metrics: Metrics) -> None:
        self.packets_sent = metrics.counter("memberlist.udp.sent")
        """In octets, as is the next."""
        self.packets_received = metrics.counter("memberlist.udp.received")
        self.streams_dialled = metrics.counter("memberlist.tcp.connect")
        self.streams_accepted = metrics.counter("memberlist.tcp.accept")
        self.stream_sent = metrics.counter("memberlist.tcp.sent")
        """In octets."""
        self.exchange_time = metrics.sample("memberlist.pushPullNode")
        """How long exchanges take that this agent began and that were answered, in milliseconds."""
