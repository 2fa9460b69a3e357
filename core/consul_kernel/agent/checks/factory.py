"""The runner for each kind of check."""

from __future__ import annotations

import random

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition

from .alias import AliasRunner, LocalChecks, NodeChecks
from .kinds import CheckKind, check_kind
from .maintenance import MaintenanceRunner
from .runner import CheckRunner, Report
from .script import ScriptRunner
from .tcp import TcpRunner
from .ttl import TtlRunner


class RunnerFactory:
    """Makes runners; what they need besides their definition is given once."""

    def __init__(self, *, rng: random.Random, local_checks: LocalChecks, node_checks: NodeChecks) -> None:
        self._rng = rng
        self._local_checks = local_checks
        self._node_checks = node_checks

    def __call__(self, definition: CheckDefinition, report: Report) -> CheckRunner:
        """The runner for a definition, not started. RequestError for kinds that this agent does not carry out."""
        match check_kind(definition):
            case CheckKind.TTL:
                return TtlRunner(definition.ttl / 1e9, report)
            case CheckKind.TCP:
                return TcpRunner(definition, report, self._rng)
            case CheckKind.HTTP:
                from .http import HttpRunner  # aiohttp's client is loaded by agents that have such checks

                return HttpRunner(definition, report, self._rng)
            case CheckKind.SCRIPT:
                return ScriptRunner(definition, report, self._rng)
            case CheckKind.ALIAS:
                return AliasRunner(definition, report, local_checks=self._local_checks, node_checks=self._node_checks)
            case CheckKind.MAINTENANCE:
                return MaintenanceRunner()
            case kind:
                raise RequestError(f"Invalid check: this agent does not carry out checks of type {kind}")
