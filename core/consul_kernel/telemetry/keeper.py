"""The agent's telemetry: the registry, intervals that end on every tenth second, and who is told of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

from consul_kernel.structs.metrics import MetricsSummary
from consul_kernel.structs.settings import TelemetrySettings

from .document import INTERVAL_S, summary
from .naming import Naming
from .prometheus import exposition
from .registry import Interval, MetricsRegistry
from .sinks import DatagramSink, Sink, StreamSink
from .statsd import dogstatsd_lines, statsd_lines

logger = logging.getLogger(__name__)


class Telemetry:
    """Made with the agent, run beside it."""

    def __init__(
        self,
        settings: TelemetrySettings,
        *,
        now_s: Callable[[], float] = time.time,
        hostname: Callable[[], str] = socket.gethostname,
    ) -> None:
        """`now_s` is UNIX time."""
        self._settings = settings
        self._now_s = now_s
        self.registry = MetricsRegistry(now_s, compat_names=not settings.disable_compat)
        # As Consul: gauges carry the host's name once somebody beside the agent itself is told of them.
        has_host = settings.is_sent and not settings.disable_hostname
        self._naming = Naming(
            settings.metrics_prefix,
            hostname() if has_host else "",
            settings.prefix_filter,
            filter_default=settings.filter_default,
        )
        self._sinks = self._make_sinks()
        self._failing: set[Sink] = set()

    def reload(self, settings: TelemetrySettings) -> None:
        """Show other metrics from now on; the rest of the settings waits for a restart."""
        self._naming.filter(settings.prefix_filter, filter_default=settings.filter_default)

    def summary(self) -> MetricsSummary:
        """The newest interval that is over."""
        return summary(self.registry.latest(), self._naming)

    def prometheus(self) -> str | None:
        """Everything as Prometheus reads it; None where the agent file does not ask for that."""
        return exposition(self.registry, self._naming) if self._settings.prometheus_retention_ms > 0 else None

    async def run(self) -> None:
        """End an interval on every tenth second, and send it."""
        try:
            while True:
                await asyncio.sleep(INTERVAL_S - self._now_s() % INTERVAL_S)
                await self._send(self.registry.end_interval())
        finally:
            for sink in self._sinks:
                sink.close()

    async def _send(self, interval: Interval) -> None:
        """To every sink; one that fails is complained of once, until it works again."""
        for sink in self._sinks:
            try:
                await sink.send(interval)
            except (OSError, TimeoutError) as error:
                if sink not in self._failing:
                    self._failing.add(sink)
                    logger.warning("metrics could not be sent: %s", str(error) or "no connection in time")
            else:
                if sink in self._failing:
                    self._failing.discard(sink)
                    logger.info("metrics are sent again")

    def _make_sinks(self) -> list[Sink]:
        settings, sinks = self._settings, list[Sink]()
        if settings.statsite_address:
            sinks.append(StreamSink(settings.statsite_address, lambda interval: statsd_lines(interval, self._naming)))
        if settings.statsd_address:
            sinks.append(DatagramSink(settings.statsd_address, lambda interval: statsd_lines(interval, self._naming)))
        if settings.dogstatsd_addr:
            tags = settings.dogstatsd_tags
            sinks.append(
                DatagramSink(settings.dogstatsd_addr, lambda interval: dogstatsd_lines(interval, self._naming, tags))
            )
        return sinks
