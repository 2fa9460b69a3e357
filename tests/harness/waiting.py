"""Waiting for conditions, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


class ConditionTimeoutError(AssertionError):
    """A condition did not come true in time."""


def wait_for(condition: Callable[[], T], what: str, *, timeout_s: float = 30.0) -> T:
    """Call `condition` until it gives something true, and return that. OSError counts as not yet."""
    deadline_s = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except OSError as error:
            last = error
        if time.monotonic() > deadline_s:
            raise ConditionTimeoutError(f"{what}: not within {timeout_s} s; last seen: {last!r}")
        time.sleep(POLL_S)
