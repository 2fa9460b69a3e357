"""A look at the broadcast queues now and then: long ones are reported, what has expired is dropped."""

from __future__ import annotations

from collections.abc import Mapping

from .broadcasts import BroadcastQueue
from .environment import Environment


class QueueWatch:
    """Looks at the `queues`, each under the name that the operator reads."""

    def __init__(self, env: Environment, queues: Mapping[str, BroadcastQueue]) -> None:
        self._env = env
        self._queues = queues

    def start(self) -> None:
        """Look from now on."""
        self._env.after(self._env.settings.queue_check_interval_ms, self._look)

    def _look(self) -> None:
        self.start()
        for name, queue in self._queues.items():
            queue.purge(self._env.now_ms)
            if len(queue) >= self._env.settings.queue_depth_warning:
                self._env.warn(f"{name} queue depth: {len(queue)}")
