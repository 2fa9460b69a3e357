"""Checks that every store passes, by the numbered clauses of docs/contracts/store.md.

A plugin's suite is a subclass that names the plugin's module:

    class TestContract(StoreContractTests):
        subject = StoreSubject("my_store")

Each check is a coroutine function of the subject and an empty folder, free of any test framework. Without one,
`python -m consul_kernel.testing.store_kit my_store` runs them all. Clause D7 and damage to snapshots (S5) need
to know a store's files: they belong into the plugin's own suite.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar

from .clauses import ClauseError
from .store_life_checks import LIFE_CHECKS
from .store_log_checks import LOG_CHECKS
from .store_snapshot_checks import SNAPSHOT_CHECKS
from .store_state_checks import STATE_CHECKS
from .store_subject import Check, StoreSubject

CHECKS: tuple[Check, ...] = (*STATE_CHECKS, *LOG_CHECKS, *SNAPSHOT_CHECKS, *LIFE_CHECKS)
"""Every check, in the order of the clauses."""


def _name(check: Check) -> str:
    return str(getattr(check, "__name__", check)).removeprefix("check_")


class StoreContractTests:
    """Base of a plugin's suite: one test for each check, `test_k1_keys_and_values` and so on."""

    subject: ClassVar[StoreSubject]


def _as_test(check: Check) -> Callable[..., Coroutine[Any, Any, None]]:
    async def test(self: StoreContractTests, tmp_path: Path) -> None:
        await check(self.subject, tmp_path)

    test.__name__, test.__doc__ = f"test_{_name(check)}", check.__doc__
    return test


for _check in CHECKS:
    setattr(StoreContractTests, f"test_{_name(_check)}", _as_test(_check))


def run(subject: StoreSubject) -> dict[str, str]:
    """Run every check; for those that failed, the check's name and why."""
    failures = {}
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                asyncio.run(_run(check, subject, Path(folder)))
            except Exception as error:  # noqa: BLE001 - a check fails in whatever way the store fails
                failures[_name(check)] = f"{type(error).__name__}: {error}"
    return failures


async def _run(check: Check, subject: StoreSubject, folder: Path) -> None:
    await check(subject, folder)


def main(arguments: list[str]) -> int:
    """`MODULE [SETTINGS as JSON]`: print each check that failed, and how many passed."""
    subject = StoreSubject(arguments[0], json.loads(arguments[1]) if len(arguments) > 1 else {})
    failures = run(subject)
    for name, why in failures.items():
        sys.stdout.write(f"FAILED {name}: {why}\n")
    sys.stdout.write(f"{len(CHECKS) - len(failures)} of {len(CHECKS)} checks passed\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))


__all__ = ["CHECKS", "Check", "ClauseError", "StoreContractTests", "StoreSubject", "run"]
