"""The agent's one clock for protocols."""

from __future__ import annotations

import time


def monotonic_ms() -> int:
    """Milliseconds that never go back; what the protocol cores are driven by."""
    return time.monotonic_ns() // 1_000_000


def monotonic_us() -> int:
    """The same in microseconds, for what is measured rather than waited for."""
    return time.monotonic_ns() // 1_000
