"""Endpoints on a state in memory, with a consensus of one that applies what is proposed."""

from __future__ import annotations

import pytest

from core.endpoints.harness import Endpoints


@pytest.fixture
def endpoints() -> Endpoints:
    return Endpoints()
