"""Clauses, checks and base classes say the same: nothing is promised that no kit checks, nothing checked in secret."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from consul_kernel.testing import cipher_kit, transport_kit

DOCS = Path(__file__).parents[3] / "docs" / "contracts"

UNCHECKED = {"transport": {"3.7"}, "cipher": set[str]()}
"""Clauses that a kit cannot check from outside; the default plugins' own tests do."""


@pytest.mark.parametrize(
    ("name", "kit", "suite"),
    [
        ("transport", transport_kit, transport_kit.TransportContractTests),
        ("cipher", cipher_kit, cipher_kit.CipherContractTests),
    ],
)
def test_clauses_checks_and_suites_match(name: str, kit: ModuleType, suite: type) -> None:
    clauses = set(re.findall(r"^(\d+\.\d+) ", (DOCS / f"{name}.md").read_text(), re.MULTILINE))
    checks = {"{}.{}".format(*check.__name__.split("_")[1:3]) for check in kit.CHECKS}
    tests = {"{}.{}".format(*test.split("_")[1:3]) for test in vars(suite) if test.startswith("test_")}
    assert checks == tests
    assert clauses - checks == UNCHECKED[name]
    assert checks <= clauses


def test_example_of_the_memory_network_runs() -> None:
    text = (DOCS / "transport.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]
    exec(compile(example, "transport.md", "exec"), {})
