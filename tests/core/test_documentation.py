"""What the documents say is so: clauses have checks, hooks have users, examples run."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from consul_kernel import hookspecs
from consul_kernel.config.load import ConfigSource, load_config, validate_paths
from consul_kernel.contracts.plugin import PluginKind

ROOT = Path(__file__).parents[2]
CONTRACTS = sorted((ROOT / "docs" / "contracts").glob("*.md"))
TESTING = ROOT / "core" / "consul_kernel" / "testing"

_CLAUSE = re.compile(r"^(?:- )?(?:\*\*)?(\d+\.\d+|[A-Z]\d+)(?:\*\*)? ", re.MULTILINE)
_CHECK_NAME = re.compile(r"def check_(\d+)_(\d+)_")
_CHECK = re.compile(r'def check_\w+\([^"]*"""(.*?)"""', re.DOTALL)
_NUMBER = re.compile(r"\b(?:\d+\.\d+|[A-Z]\d+)\b")


def clauses_of(contract: Path) -> set[str]:
    return set(_CLAUSE.findall(contract.read_text()))


def checks_of(kind: str) -> set[str]:
    """The clauses that the names or the docstrings of a kit's checks tell."""
    modules = [TESTING / f"{kind}_kit.py", *TESTING.glob(f"{kind}_*_checks.py")]
    code = "\n".join(module.read_text() for module in modules)
    named = {".".join(parts) for parts in _CHECK_NAME.findall(code)}
    return named | {number for docstring in _CHECK.findall(code) for number in _NUMBER.findall(docstring)}


def checked_by_plugins() -> set[str]:
    """Clauses that a kit cannot check from outside, and that the docstrings of plugins' own tests name."""
    docstrings = [
        docstring
        for module in (ROOT / "tests" / "plugins").rglob("test_*.py")
        for docstring in re.findall(r'\n    """(.*?)"""', module.read_text(), re.DOTALL)
    ]
    return {number for docstring in docstrings for number in re.findall(r"^(\d+\.\d+|[A-Z]\d+):", docstring)}


def test_every_kind_has_a_contract() -> None:
    assert {path.stem for path in CONTRACTS} == {kind.value for kind in PluginKind}


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda path: path.stem)
def test_every_clause_has_a_check_and_every_check_a_clause(contract: Path) -> None:
    clauses = clauses_of(contract)
    assert len(clauses) >= 5, "the clauses are not where they are looked for"
    checks = checks_of(contract.stem)
    assert checks <= clauses
    assert clauses - checks <= checked_by_plugins()


def test_every_hook_has_a_user() -> None:
    hooks = [name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("consul_kernel_")]
    assert len(hooks) == len(PluginKind) + 4
    code = "\n".join(path.read_text() for folder in ("core", "plugins") for path in (ROOT / folder).rglob("*.py"))
    for kind in PluginKind:
        assert re.search(rf"^def {kind.register_hook}\(", code, re.MULTILINE), kind
    for hook in set(hooks) - {kind.register_hook for kind in PluginKind}:
        assert f'"{hook}"' in code, f"{hook} is never called"


def test_the_rules_of_who_may_import_whom_hold() -> None:
    ran = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_every_example_configuration_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted((ROOT / "configs").rglob("*.hcl"))
    assert len(files) >= 9
    for file in files:
        assert not [problem.format() for problem in validate_paths([file]) if not problem.is_warning]


def test_the_configuration_of_the_readme_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```hcl\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    file = tmp_path / "readme.hcl"
    file.write_text(example.replace("/var/lib/consul-kernel", str(tmp_path / "data")))
    config = load_config([ConfigSource(file)])
    assert config.encrypt is None
    assert {block.name for block in config.plugins.values()} == {"tcp", "swim", "nacl", "raft", "disk"}
    assert [block.name for block in config.interfaces] == ["http", "dns"]


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    commands = re.findall(r"^pip install .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert all(" && " in command for command in commands)


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_json_in_documents_is_json() -> None:
    for document in (ROOT / "docs").rglob("*.md"):
        for example in re.findall(r"```json\n(.*?)```", document.read_text(), re.DOTALL):
            json.loads(example)
