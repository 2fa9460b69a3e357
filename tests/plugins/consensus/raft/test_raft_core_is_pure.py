"""Nothing below the core does I/O, reads a clock, or takes chance from elsewhere than the injected source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import consul_kernel_raft.core as core

FILES = sorted(Path(core.__file__).parent.glob("*.py"))
FORBIDDEN = {"asyncio", "time", "os", "secrets", "socket", "threading", "uuid", "datetime", "io", "pathlib", "logging"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                modules = {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), level=0):
                modules = {module.partition(".")[0]}
            case ast.Attribute(value=ast.Name(id="random"), attr=attribute):
                assert attribute == "Random", f"{path.name} uses random.{attribute}"
                continue
            case _:
                continue
        assert not modules & FORBIDDEN, f"{path.name} imports {modules & FORBIDDEN}"


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 10
