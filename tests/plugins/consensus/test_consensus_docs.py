"""The kit has a check for each clause of the contract's document, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from consul_kernel.testing.consensus_kit import (
    CATCH_UP_CHECKS,
    CHECKS,
    MULTI_SERVER_CHECKS,
    RECOVERY_CHECKS,
    SINGLE_SERVER_CHECKS,
    TUNING_CHECKS,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "contracts" / "consensus.md"


def test_every_clause_has_a_check() -> None:
    clauses = _numbers(r"^(\d+)\.(\d+) ")
    optional = (
        ("multi-server", MULTI_SERVER_CHECKS),
        ("recovery", RECOVERY_CHECKS),
        ("snapshot-tuning", TUNING_CHECKS),
        ("catch-up", CATCH_UP_CHECKS),
    )
    everything = CHECKS + SINGLE_SERVER_CHECKS + tuple(check for _, checks in optional for check in checks)
    assert sorted(_clauses(everything)) == clauses
    for capability, checks in optional:
        marked = _numbers(rf"^(\d+)\.(\d+) \*\*\({capability}\)\*\*")
        assert sorted(_clauses(checks)) == marked


def _numbers(pattern: str) -> list[tuple[int, int]]:
    return [(int(section), int(clause)) for section, clause in re.findall(pattern, DOCUMENT.read_text(), re.MULTILINE)]


def _clauses(checks: tuple[object, ...]) -> list[tuple[int, int]]:
    names = [str(getattr(check, "__name__", "")) for check in checks]
    matches = [re.match(r"check_(\d+)_(\d+)_", name) for name in names]
    return [(int(match[1]), int(match[2])) for match in matches if match]
