"""An environment of its own in which third-party plugins are installed, as their users would install them.

Packages are built into wheels and installed with pip: `toy_consul_store`, a real store on SQLite under the name
`toy`, `broken_consul_store`, under the name `broken`, which raises at import, `toy_redis_check`, the kind of check
`redis_ping`, and `toy_zone_answer`, the `dns_answer` parts `same_zone` and `asker_zone`. Nothing is fetched: what they
need comes from the environment that runs the tests.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent
PATIENCE_SECONDS = 90


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command; its output. Fails with that output where the command fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


def build_wheel(package: str, folder: Path) -> Path:
    """Build one of the packages beside this file with hatchling; the wheel."""
    target = folder / package
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=PACKAGES / package)
    (wheel,) = target.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheels: list[Path]) -> Path:
    """A virtual environment with the wheels, on top of the running one; its Python."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    (site_packages,) = folder.glob("lib/python*/site-packages")
    below = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    # addsitedir, not a bare path: an editable install of the project is itself a .pth file.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in below]
    (site_packages / "below.pth").write_text("".join(lines))
    if wheels:
        run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", *wheels)
    return python


@pytest.fixture(scope="session")
def third_party_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has consul-kernel and all of these packages installed."""
    folder = tmp_path_factory.mktemp("third_party")
    packages = ("toy_consul_store", "broken_consul_store", "toy_redis_check", "toy_zone_answer")
    wheels = [build_wheel(package, folder) for package in packages]
    return make_environment(folder / "environment", wheels)


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python that has consul-kernel, into which a test may install more."""
    return make_environment(tmp_path / "environment", [])
