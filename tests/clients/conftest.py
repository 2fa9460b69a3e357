"""One server for the clients of a module."""

from __future__ import annotations

import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for


@pytest.fixture(scope="module")
def server(shared_cluster: Cluster) -> AgentProcess:
    """A server that takes writes. Tests of a module share it: each has names of its own."""
    made = shared_cluster.agent("solo", server=True, bootstrap=True, dns_config={"enable_truncate": True}).start()
    made.wait_leader()
    wait_for(lambda: made.get("/v1/catalog/node/solo"), "the server in its own catalog")
    return made
