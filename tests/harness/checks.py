"""Checks outside of an agent: made from definitions, started at once, and asked for what they report."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from consul_kernel.agent.checks.factory import RunnerFactory
from consul_kernel.agent.checks.plugins import CheckKinds
from consul_kernel.agent.checks.runner import CheckRunner
from consul_kernel.contracts.check import CheckPlugin
from consul_kernel.contracts.errors import PluginLoadError
from consul_kernel.contracts.plugin import Plugin, PluginKind
from consul_kernel.plugins import PluginManager
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck

SECOND_NS = 1_000_000_000
PATIENCE_S = 10.0


class NoDelay(random.Random):
    """Every check starts at once."""

    def random(self) -> float:
        return 0.0


class CheckBench:
    """Runs checks and waits for their reports. `local` are those that alias checks see."""

    def __init__(self, *, output_limit_bytes: int = 4096, plugins: PluginManager | None = None) -> None:
        self.local: list[HealthCheck] = []
        self.runners: list[CheckRunner] = []
        self.kinds = CheckKinds(plugins or PluginManager())
        self.factory = RunnerFactory(
            self.kinds,
            node_name="n1",
            datacenter="dc1",
            output_limit_bytes=output_limit_bytes,
            rng=NoDelay(),
            local_checks=lambda: self.local,
            node_checks=self.node_checks,
        )

    async def node_checks(self, node: str) -> list[HealthCheck]:
        assert node == "elsewhere"
        return self.local

    async def first_report(self, definition: CheckDefinition) -> tuple[CheckStatus, str]:
        """Run a check until it says something."""
        reported: asyncio.Future[tuple[CheckStatus, str]] = asyncio.get_running_loop().create_future()

        def report(status: CheckStatus, output: str) -> None:
            if not reported.done():
                reported.set_result((status, output))

        runner = self.factory(definition, report)
        self.runners.append(runner)
        runner.start()
        async with asyncio.timeout(PATIENCE_S):
            return await reported

    def close(self) -> None:
        for runner in self.runners:
            runner.stop()
            runner.stop()


class OfferedChecks(PluginManager):
    """The installed plugins, and some kinds of check that only a test knows; one that is an error does not load."""

    def __init__(self, *checks: CheckPlugin, broken: Sequence[str] = ()) -> None:
        super().__init__()
        self._checks = {check.name: check for check in checks}
        self._broken = broken

    def names(self, kind: PluginKind) -> Sequence[str]:
        more = [*self._checks, *self._broken] if kind is PluginKind.CHECK else []
        return [*super().names(kind), *more]

    def load(self, kind: PluginKind, name: str) -> Plugin[Any, Any]:
        if name in self._broken:
            raise PluginLoadError(f"check {name!r} (acme-checks 1.0) failed to load: RuntimeError: broken")
        found = self._checks.get(name) if kind is PluginKind.CHECK else None
        return found if found is not None else super().load(kind, name)
