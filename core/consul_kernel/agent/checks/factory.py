"""The runner for each kind of check."""

from __future__ import annotations

import logging
import random

from consul_kernel.contracts.check import REMOTE_CODE, CheckContext
from consul_kernel.contracts.errors import AgentError, ConsulKernelError, PluginLoadError
from consul_kernel.structs.check import CheckDefinition

from .alias import AliasRunner, LocalChecks, NodeChecks
from .kinds import ALIAS, MAINTENANCE, TTL, check_kind, validate_check
from .maintenance import MaintenanceRunner
from .output import output_limit_bytes
from .periodic import PeriodicRunner
from .plugins import CheckKinds
from .runner import CheckRunner, Report
from .ttl import TtlRunner
from .turns import Turns

logger = logging.getLogger(__name__)


class RunnerFactory:
    """Makes runners; what they need besides their definition is given once."""

    def __init__(
        self,
        kinds: CheckKinds,
        *,
        node_name: str,
        datacenter: str,
        output_limit_bytes: int,
        rng: random.Random,
        local_checks: LocalChecks,
        node_checks: NodeChecks,
        turns: Turns | None = None,
    ) -> None:
        self._kinds = kinds
        self._node_name = node_name
        self._datacenter = datacenter
        self._output_limit_bytes = output_limit_bytes
        self._rng = rng
        self._local_checks = local_checks
        self._node_checks = node_checks
        self._turns = turns or Turns()

    def __call__(self, definition: CheckDefinition, report: Report) -> CheckRunner:
        """The runner for a definition, not started.

        RequestError for a definition that makes no sense, AgentError where its plugin does not work.
        """
        if check_kind(definition) == MAINTENANCE:
            return MaintenanceRunner()
        kind = validate_check(definition)
        if kind == TTL:
            return TtlRunner(definition.ttl / 1e9, report)
        if kind == ALIAS:
            return AliasRunner(definition, report, local_checks=self._local_checks, node_checks=self._node_checks)
        try:
            return self._plugin_runner(kind, definition, report)
        except PluginLoadError as error:
            raise AgentError(str(error)) from error

    def _plugin_runner(self, kind: str, definition: CheckDefinition, report: Report) -> PeriodicRunner:
        plugin = self._kinds.plugin(kind)
        config = self._kinds.config(definition, plugin)
        limit_bytes = output_limit_bytes(definition, self._output_limit_bytes)
        timeout_s = definition.timeout / 1e9 if definition.timeout > 0 else plugin.default_timeout_s
        context = CheckContext(
            check_id=definition.id,
            name=definition.name,
            service_id=definition.service_id,
            node_name=self._node_name,
            datacenter=self._datacenter,
            timeout_s=timeout_s,
            output_limit_bytes=limit_bytes,
            logger=logging.getLogger(f"consul_kernel.checks.{kind}"),
            rng=self._rng,
        )
        try:
            check = plugin.create(context, config)
        except ConsulKernelError:
            raise
        except Exception as error:
            logger.exception("check %s could not be made", definition.id)
            raise AgentError(f"check plugin {kind!r} failed: {type(error).__name__}: {error}") from error
        runs_commands = REMOTE_CODE in plugin.capabilities
        return PeriodicRunner(
            definition,
            report,
            check,
            shown_type=plugin.shown_type,
            runs_commands=runs_commands,
            timeout_s=timeout_s,
            output_limit_bytes=limit_bytes,
            turn=self._turns.of(runs_commands=runs_commands),
            rng=self._rng,
        )
