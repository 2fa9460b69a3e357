"""docs/raft.md names code and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "raft.md"
PLUGIN = ROOT / "plugins" / "consensus" / "consul_kernel_raft"
ROWS = [
    tuple(cell.strip() for cell in line.strip("| ").split(" | "))
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| Rule ")
]


@cache
def known_tests() -> frozenset[str]:
    folders = (ROOT / "tests", ROOT / "core" / "consul_kernel" / "testing")
    text = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    return frozenset(re.findall(r"def ((?:test|check)_\w+)\(", text))


def names_in(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def test_there_are_rules() -> None:
    assert len(ROWS) > 40
    assert all(len(row) == 4 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_rule_has_its_code_and_its_test(row: tuple[str, ...]) -> None:
    _, source, code, held_by = row
    assert re.match(r"–|§|thesis §|figure |etcd", source)
    path, _, symbol = code.strip("`").partition(": ")
    assert symbol in names_in(PLUGIN / path)
    found = re.findall(r"`(\w+)`", held_by)
    assert found
    assert set(found) <= known_tests()
