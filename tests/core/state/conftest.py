"""A state on a store in memory, and short ways to change it."""

from __future__ import annotations

import pytest

from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver


@pytest.fixture
def driver() -> StateDriver:
    return StateDriver(MemoryStore().state)
