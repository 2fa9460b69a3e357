"""The two libraries that Python programs use for Consul.

Both call themselves `consul`, so that pip cannot have them in one place:
py-consul is installed as the tests' other dependencies are; python-consul2 into a folder of its own:

    pip install --no-deps --target "$VIRTUAL_ENV/python-consul2" -r tests/clients/python-consul2.txt
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PY_CONSUL, PYTHON_CONSUL2 = "py-consul", "python-consul2"
FOLDER = Path(sys.prefix) / PYTHON_CONSUL2
HOW_TO_INSTALL = f'pip install --no-deps --target "{FOLDER}" -r tests/clients/python-consul2.txt'


def load(name: str) -> Any:
    """The module `consul` of one of them; None where that is not installed. `import consul` still gives py-consul."""
    if name == PY_CONSUL:
        return importlib.import_module("consul")
    if not (FOLDER / "consul").is_dir():
        return None
    with _set_aside("consul"):
        sys.path.insert(0, str(FOLDER))
        try:
            return importlib.import_module("consul")
        finally:
            sys.path.remove(str(FOLDER))


@contextmanager
def _set_aside(package: str) -> Iterator[None]:
    """Inside, the package counts as not imported; outside, what was imported inside does."""

    def take_out() -> dict[str, Any]:
        names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
        return {name: sys.modules.pop(name) for name in names}

    before = take_out()
    try:
        yield
    finally:
        take_out()
        sys.modules.update(before)
