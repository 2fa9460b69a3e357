"""What the log says of a check whose state changed."""

from __future__ import annotations

import logging

from consul_kernel.structs.check import CheckStatus, HealthCheck

from .checks.ttl import TTL_EXPIRED

logger = logging.getLogger("consul_kernel.agent.checks")

_OUTPUT_LIMIT_CHARS = 200


def log_status(check: HealthCheck, output: str) -> None:
    """Say what a check has come to: passing for information, all else as a warning, with its first line of output."""
    name = f"check {check.check_id}"
    if check.service_id:
        name += f" of service {check.service_id}"
    passing = check.status == CheckStatus.PASSING
    missed = output.startswith(TTL_EXPIRED) and check.status == CheckStatus.CRITICAL
    event = "missed its TTL and is now" if missed else "is now"
    line = check.output.strip().partition("\n")[0][:_OUTPUT_LIMIT_CHARS]
    logger.log(
        logging.INFO if passing else logging.WARNING,
        "%s %s %s%s",
        name,
        event,
        check.status,
        f": {line}" if line and not passing else "",
    )
