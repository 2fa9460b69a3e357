"""The kit has a check for each clause of the contract's document, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from consul_kernel.testing.consensus_kit import CHECKS, ConsensusContractTests

DOCUMENT = Path(__file__).parents[4] / "docs" / "contracts" / "consensus.md"


def test_every_clause_has_a_check_and_a_test() -> None:
    clauses = re.findall(r"^(\d+)\.(\d+) ", DOCUMENT.read_text(), re.MULTILINE)
    names = [str(getattr(check, "__name__", "")) for check in CHECKS]
    matches = [re.match(r"check_(\d+)_(\d+)_", name) for name in names]
    assert [match.groups() for match in matches if match] == clauses
    assert all(hasattr(ConsensusContractTests, name.replace("check_", "test_", 1)) for name in names)
