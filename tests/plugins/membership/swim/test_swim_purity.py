"""The core is pure: no clock, no sockets, no event loop, no randomness of its own, and no layer above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import consul_kernel_swim.core

CORE = Path(consul_kernel_swim.core.__file__).parent
FORBIDDEN = {
    "asyncio",
    "time",
    "os",
    "socket",
    "threading",
    "secrets",
    "uuid",
    "datetime",
    "logging",
    "pathlib",
    "select",
}


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda path: path.stem)
def test_core_module_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = imported(tree)
    assert not {name.split(".")[0] for name in names} & FORBIDDEN
    assert not [name for name in names if name.startswith("..")]
    drawn = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    assert drawn <= {"Random"}
