"""Checks that every consensus passes, by the numbered clauses of docs/contracts/consensus.md.

Each check is a coroutine function of a function that makes the consensus; it runs a `Quorum` in memory and is meant
for `run_virtual`, where it takes a fraction of a second. A plugin's suite subclasses `ConsensusContractTests` and gives
it a fixture `make_consensus`.
"""

from __future__ import annotations

from collections.abc import Callable

from .consensus_life_checks import LIFE_CHECKS
from .consensus_order_checks import ORDER_CHECKS
from .consensus_quorum import Check, MakeConsensus
from .virtual_time import run_virtual

LIMIT_S = 600.0
"""Virtual seconds after which a check counts as stuck."""

CHECKS: tuple[Check, ...] = (*ORDER_CHECKS, *LIFE_CHECKS)
"""Every check, in the order of the clauses."""


def run_check(check: Check, make: MakeConsensus) -> None:
    """Run one check on virtual time."""

    async def body() -> None:
        await check(make)

    run_virtual(body(), limit_s=LIMIT_S)


class ConsensusContractTests:
    """Base of a plugin's suite: one test for each check, `test_1_1_without_configuration_it_waits` and so on.

    The subclass defines a fixture `make_consensus`: ConsensusContext -> Consensus.
    """


def _as_test(name: str, check: Check) -> Callable[[ConsensusContractTests, MakeConsensus], None]:
    def test(self: ConsensusContractTests, make_consensus: MakeConsensus) -> None:
        run_check(check, make_consensus)

    test.__name__, test.__doc__ = name, check.__doc__
    return test


for _check in CHECKS:
    _name = str(getattr(_check, "__name__", _check)).replace("check_", "test_", 1)
    setattr(ConsensusContractTests, _name, _as_test(_name, _check))
