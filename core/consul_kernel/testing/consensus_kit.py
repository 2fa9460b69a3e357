"""Checks that every consensus passes, by the numbered clauses of docs/contracts/consensus.md.

Each check is a coroutine function of a function that makes the consensus and a number of servers; it runs a `Quorum`
in memory and is meant for `run_virtual`, where it takes a fraction of a second. A plugin's suite subclasses
`ConsensusContractTests`; other test runners call `run_check` for each of `checks_of(plugin)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from consul_kernel.contracts.consensus import ConsensusCapability, ConsensusPlugin

from .consensus_catch_up_checks import CATCH_UP_CHECKS
from .consensus_life_checks import LIFE_CHECKS, MULTI_SERVER_LIFE_CHECKS, SINGLE_SERVER_CHECKS
from .consensus_order_checks import MULTI_SERVER_ORDER_CHECKS, ORDER_CHECKS
from .consensus_quorum import Check, MakeConsensus
from .consensus_recovery_checks import RECOVERY_CHECKS
from .consensus_tuning_checks import TUNING_CHECKS
from .virtual_time import run_virtual

LIMIT_S = 600.0
"""Virtual seconds after which a check counts as stuck."""
SERVERS = 3
"""How many servers a quorum has in the checks, where it may have several."""

CHECKS: tuple[Check, ...] = (*ORDER_CHECKS, *LIFE_CHECKS)
"""What every consensus must pass."""

MULTI_SERVER_CHECKS: tuple[Check, ...] = (*MULTI_SERVER_ORDER_CHECKS, *MULTI_SERVER_LIFE_CHECKS)
"""What one with the capability `multi-server` must pass besides; one without it, `SINGLE_SERVER_CHECKS`."""


def has_several_servers(plugin: ConsensusPlugin) -> bool:
    """Whether its quorum may have more than one. Raises ValueError for a capability that the contract does not list."""
    return ConsensusCapability.MULTI_SERVER in {ConsensusCapability(name) for name in plugin.capabilities}


def checks_of(plugin: ConsensusPlugin) -> tuple[Check, ...]:
    """All checks for one plugin."""
    checks = CHECKS + (MULTI_SERVER_CHECKS if has_several_servers(plugin) else SINGLE_SERVER_CHECKS)
    optional = (
        (ConsensusCapability.RECOVERY, RECOVERY_CHECKS),
        (ConsensusCapability.SNAPSHOT_TUNING, TUNING_CHECKS),
        (ConsensusCapability.CATCH_UP, CATCH_UP_CHECKS),
    )
    return checks + tuple(check for name, more in optional if name in plugin.capabilities for check in more)


def run_check(check: Check, make: MakeConsensus, servers: int) -> None:
    """Run one check on virtual time, with so many servers."""

    async def body() -> None:
        await check(make, servers)

    run_virtual(body(), limit_s=LIMIT_S)


class ConsensusContractTests:
    """Subclass this, name the plugin's descriptor, and give it a fixture `make_consensus`, a `MakeConsensus`.

    There is one test for each check: `test_1_1_without_configuration_it_waits` and so on.
    """

    plugin: ClassVar[ConsensusPlugin]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        servers = SERVERS if has_several_servers(cls.plugin) else 1
        for check in checks_of(cls.plugin):
            setattr(cls, f"test_{getattr(check, '__name__', '').removeprefix('check_')}", _as_test(check, servers))


def _as_test(check: Check, servers: int) -> Callable[[ConsensusContractTests, MakeConsensus], None]:
    def test(self: ConsensusContractTests, make_consensus: MakeConsensus) -> None:
        run_check(check, make_consensus, servers)

    test.__doc__ = check.__doc__
    return test


__all__ = [
    "CATCH_UP_CHECKS",
    "CHECKS",
    "MULTI_SERVER_CHECKS",
    "RECOVERY_CHECKS",
    "SINGLE_SERVER_CHECKS",
    "TUNING_CHECKS",
    "ConsensusContractTests",
    "checks_of",
    "has_several_servers",
    "run_check",
]
