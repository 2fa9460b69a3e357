"""TCP checks: passing while a connection can be made."""

from __future__ import annotations

import asyncio

from consul_kernel.structs.check import CheckStatus

from .dialling import dial_failure
from .periodic import PeriodicRunner


class TcpRunner(PeriodicRunner):
    """Connects to `tcp` (`host:port`) and closes again."""

    async def probe(self) -> tuple[CheckStatus, str]:
        """Connect once."""
        target = self._definition.tcp
        host, _, port = target.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), port)
        except OSError as error:
            return CheckStatus.CRITICAL, dial_failure(host.strip("[]"), port, error)
        writer.close()
        return CheckStatus.PASSING, f"TCP connect {target}: Success"

    def timeout_output(self) -> str:
        """As Go's dialler words it."""
        return f"dial tcp {self._definition.tcp}: i/o timeout"
