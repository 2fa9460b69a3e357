"""Alias checks: as well as another service or node, whose checks they follow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck

from .kinds import ALIAS
from .runner import Report

logger = logging.getLogger(__name__)

LOCAL_INTERVAL_S = 0.25
REMOTE_INTERVAL_S = 10.0

LocalChecks = Callable[[], Iterable[HealthCheck]]
NodeChecks = Callable[[str], Awaitable[Iterable[HealthCheck]]]
"""Asks the catalog for a node's checks."""


class AliasRunner:
    """Follows the checks of `alias_service` on this agent, or those of `alias_node` in the catalog."""

    shown_type = ALIAS
    runs_commands = False

    def __init__(
        self, definition: CheckDefinition, report: Report, *, local_checks: LocalChecks, node_checks: NodeChecks
    ) -> None:
        self._definition = definition
        self._report = report
        self._local_checks = local_checks
        self._node_checks = node_checks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with a look at once."""
        self._task = asyncio.create_task(self._run(), name=f"check {self._definition.id}")

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                self._report(*outcome(await self._aliased()))
            except (ConsulKernelError, OSError) as error:
                self._report(CheckStatus.CRITICAL, f"Failure checking aliased node or service: {error}")
            except Exception as error:
                logger.exception("alias check %s failed to run", self._definition.id)
                self._report(CheckStatus.CRITICAL, f"the check could not be run: {error}")
            await asyncio.sleep(REMOTE_INTERVAL_S if self._definition.alias_node else LOCAL_INTERVAL_S)

    async def _aliased(self) -> list[HealthCheck]:
        definition = self._definition
        if definition.alias_node:
            checks = await self._node_checks(definition.alias_node)
        else:
            checks = self._local_checks()
        own = definition.id
        return [
            check for check in checks if check.check_id != own and check.service_id in ("", definition.alias_service)
        ]


def outcome(checks: Iterable[HealthCheck]) -> tuple[CheckStatus, str]:
    """The worst of some checks, in Consul's words."""
    status, output = CheckStatus.PASSING, "No checks found."
    for check in checks:
        if check.status in (CheckStatus.CRITICAL, CheckStatus.WARNING):
            failing = f'Aliased check "{check.name}" failing: {check.output}'
            if check.status == CheckStatus.CRITICAL:
                return CheckStatus.CRITICAL, failing
            status, output = CheckStatus.WARNING, failing
        elif status is CheckStatus.PASSING:
            output = "All checks passing."
    return status, output
