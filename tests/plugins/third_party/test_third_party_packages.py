"""Third-party stores as their users meet them: wheels with an entry point, found, loaded and held to the contract."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

FIND = """
import json
from importlib.metadata import entry_points
found = entry_points(group="consul_kernel.stores")
print(json.dumps({one.name: [one.value, one.dist.name, one.dist.version] for one in found}))
"""


def run_python(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python, away from the checkout."""
    return subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, check=False, timeout=110, cwd=python.parent
    )


def test_entry_points_are_found(third_party_python: Path) -> None:
    """Both distributions offer their store next to the defaults, which the running environment has alone."""
    done = run_python(third_party_python, "-c", FIND)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["toy"] == ["toy_consul_store", "toy-consul-store", "0.3.0"]
    assert found["broken"] == ["broken_consul_store", "broken-consul-store", "0.1.0"]
    assert {"memory", "disk"} <= found.keys()
    assert not {"toy", "broken"} & {one.name for one in entry_points(group="consul_kernel.stores")}


def test_the_toy_store_fulfils_the_contract(third_party_python: Path) -> None:
    """The kit, run from the installed package, without a test framework."""
    done = run_python(third_party_python, "-m", "consul_kernel.testing.store_kit", "toy_consul_store")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks passed" in done.stdout


def test_the_broken_store_raises_at_import(third_party_python: Path) -> None:
    """It is broken in the way that its test of the plugin manager needs."""
    done = run_python(third_party_python, "-c", "import broken_consul_store")
    assert done.returncode == 1
    assert "RuntimeError: broken_consul_store was built for another machine" in done.stderr
