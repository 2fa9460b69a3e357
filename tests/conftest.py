"""What every suite shares: clusters of real processes that end with their test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from harness.agents import Cluster

# A deadline for one example measures who else uses the machine; `pytest-timeout` ends what hangs.
settings.register_profile("consul-kernel", deadline=None)
settings.load_profile("consul-kernel")

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember whether the test failed, so that its fixtures can say more."""
    report = yield
    if getattr(report, "failed", False):
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Agents as processes of their own; all are ended, and a failed test shows their logs."""
    agents = Cluster(tmp_path)
    yield agents
    agents.close()
    if request.node.stash.get(_FAILED, False):
        print(agents.logs())  # noqa: T201 - pytest shows it with the failure


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The same for the tests of a module that can share agents; it shows their logs when one of them failed."""
    agents = Cluster(tmp_path_factory.mktemp("cluster"))
    failed = request.session.testsfailed
    yield agents
    agents.close()
    if request.session.testsfailed > failed:
        print(agents.logs())  # noqa: T201 - pytest shows it with the failure
