"""Every test that docs/gossip.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_the_tests_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "gossip.md").read_text()))
    code = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert len(named) > 60
    assert named - set(re.findall(r"def (test_\w+)\(", code)) == set()
