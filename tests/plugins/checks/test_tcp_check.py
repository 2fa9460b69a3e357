"""TCP checks, and how failed connections are worded."""

from __future__ import annotations

import socket

import pytest

from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel_checks.dialling import dial_failure
from harness.checks import SECOND_NS, CheckBench


async def test_tcp(bench: CheckBench, listener: str) -> None:
    definition = CheckDefinition(id="c", tcp=listener, interval=SECOND_NS)
    assert await bench.first_report(definition) == (CheckStatus.PASSING, f"TCP connect {listener}: Success")


async def test_tcp_refused_is_critical(bench: CheckBench) -> None:
    status, output = await bench.first_report(CheckDefinition(id="c", tcp="127.0.0.1:1", interval=SECOND_NS))
    assert status is CheckStatus.CRITICAL
    assert output == "dial tcp 127.0.0.1:1: connect: connection refused"


@pytest.mark.parametrize(
    ("host", "error", "text"),
    [
        ("db", socket.gaierror(-2, "Name or service not known"), "dial tcp: lookup db: no such host"),
        ("::1", ConnectionRefusedError(111, "x"), "dial tcp [::1]:80: connect: connection refused"),
        (
            "db",
            OSError("Multiple exceptions: [Errno 113] a, [Errno 111] b"),
            "dial tcp db:80: connect: no route to host",
        ),
        ("db", OSError("Something Else"), "dial tcp db:80: connect: something else"),
    ],
)
def test_failed_connections_are_worded_as_by_go(host: str, error: OSError, text: str) -> None:
    assert dial_failure(host, 80, error) == text
