"""Each kind of check against something real: a socket, an HTTP server, a script, other checks."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.agent.checks import alias
from consul_kernel.agent.checks.alias import outcome
from consul_kernel.agent.checks.dialling import dial_failure
from consul_kernel.agent.checks.factory import RunnerFactory
from consul_kernel.agent.checks.kinds import check_kind, validate_check
from consul_kernel.agent.checks.runner import CheckRunner
from consul_kernel.agent.checks.thresholds import Thresholds
from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck

SECOND_NS = 1_000_000_000


class NoDelay(random.Random):
    """Every check starts at once."""

    def random(self) -> float:
        return 0.0


class Bench:
    """Runs checks and waits for their reports."""

    def __init__(self) -> None:
        self.local: list[HealthCheck] = []
        self._runners: list[CheckRunner] = []
        self._factory = RunnerFactory(rng=NoDelay(), local_checks=lambda: self.local, node_checks=self._node_checks)

    async def _node_checks(self, node: str) -> list[HealthCheck]:
        assert node == "elsewhere"
        return self.local

    async def first_report(self, definition: CheckDefinition) -> tuple[CheckStatus, str]:
        """Run a check until it says something."""
        reported: asyncio.Future[tuple[CheckStatus, str]] = asyncio.get_running_loop().create_future()

        def report(status: CheckStatus, output: str) -> None:
            if not reported.done():
                reported.set_result((status, output))

        runner = self._factory(definition, report)
        self._runners.append(runner)
        runner.start()
        async with asyncio.timeout(10):
            return await reported

    def close(self) -> None:
        for runner in self._runners:
            runner.stop()
            runner.stop()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
async def web_server() -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(30)
        return web.Response(status=int(request.path[1:]), text=f"{request.method} {request.headers.get('X-A', '-')}")

    server = web.Server(handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"{host}:{port}"
    await runner.cleanup()


def http(address: str, path: str, **changes: object) -> CheckDefinition:
    return CheckDefinition(id="c", http=f"http://{address}/{path}", interval=SECOND_NS, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status"),
    [(200, CheckStatus.PASSING), (204, CheckStatus.PASSING), (429, CheckStatus.WARNING), (404, CheckStatus.CRITICAL)],
)
async def test_http_follows_the_status(bench: Bench, web_server: str, code: int, status: CheckStatus) -> None:
    seen, output = await bench.first_report(http(web_server, str(code)))
    assert seen is status
    assert output.startswith(f"HTTP GET http://{web_server}/{code}: {code} ")


async def test_http_needs_no_reason_behind_the_status(bench: Bench) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 299 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        status, output = await bench.first_report(http(f"{host}:{port}", ""))
    assert (status, output) == (CheckStatus.PASSING, f"HTTP GET http://{host}:{port}/: 299  Output: ")


async def test_http_sends_method_and_headers(bench: Bench, web_server: str) -> None:
    definition = http(web_server, "200", method="POST", header={"X-A": ["b"]}, body="{}")
    assert (await bench.first_report(definition))[1].endswith("Output: POST b")


async def test_http_that_takes_too_long_is_critical(bench: Bench, web_server: str) -> None:
    status, output = await bench.first_report(http(web_server, "slow", timeout=SECOND_NS // 20))
    assert status is CheckStatus.CRITICAL
    assert "deadline exceeded" in output


async def test_http_refused_is_critical(bench: Bench) -> None:
    status, output = await bench.first_report(http("127.0.0.1:1", "200"))
    assert status is CheckStatus.CRITICAL
    assert output == 'Get "http://127.0.0.1:1/200": dial tcp 127.0.0.1:1: connect: connection refused'


async def test_http_without_an_answer_is_critical(bench: Bench) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        reported = await bench.first_report(http(f"{host}:{port}", ""))
    assert reported == (CheckStatus.CRITICAL, f'Get "http://{host}:{port}/": EOF')


async def test_tcp(bench: Bench, web_server: str) -> None:
    definition = CheckDefinition(id="c", tcp=web_server, interval=SECOND_NS)
    assert await bench.first_report(definition) == (CheckStatus.PASSING, f"TCP connect {web_server}: Success")


async def test_tcp_refused_is_critical(bench: Bench) -> None:
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


@pytest.mark.parametrize(
    ("code", "status"), [(0, CheckStatus.PASSING), (1, CheckStatus.WARNING), (3, CheckStatus.CRITICAL)]
)
async def test_script_follows_the_exit_status(bench: Bench, code: int, status: CheckStatus) -> None:
    script = f"import sys; print('said'); sys.exit({code})"
    definition = CheckDefinition(id="c", script_args=[sys.executable, "-c", script], interval=SECOND_NS)
    assert await bench.first_report(definition) == (status, "said\n")


async def test_script_output_is_bounded(bench: Bench) -> None:
    definition = CheckDefinition(
        id="c",
        script_args=[sys.executable, "-c", "print('x' * 100_000 + 'end', end='')"],
        interval=SECOND_NS,
        output_max_size=10,
    )
    assert (await bench.first_report(definition))[1] == "Captured 10 of 100003 bytes\n...\nxxxxxxxend"


async def test_script_that_takes_too_long_is_ended(bench: Bench) -> None:
    definition = CheckDefinition(id="c", script_args=["sleep", "60"], interval=SECOND_NS, timeout=SECOND_NS // 20)
    assert await bench.first_report(definition) == (CheckStatus.CRITICAL, "Timed out (0.05s) running check")


async def test_script_that_does_not_exist_is_critical(bench: Bench) -> None:
    definition = CheckDefinition(id="c", script_args=["/no/such/program"], interval=SECOND_NS)
    assert (await bench.first_report(definition))[0] is CheckStatus.CRITICAL


async def test_alias_follows_local_and_remote_checks(bench: Bench) -> None:
    bench.local = [HealthCheck(check_id="x", name="x", service_id="web", status="critical", output="down")]
    expected = (CheckStatus.CRITICAL, 'Aliased check "x" failing: down')
    assert await bench.first_report(CheckDefinition(id="a", alias_service="web")) == expected
    remote = CheckDefinition(id="b", alias_node="elsewhere", alias_service="web")
    assert await bench.first_report(remote) == expected


@pytest.mark.parametrize(
    ("statuses", "status", "output"),
    [
        ([], CheckStatus.PASSING, "No checks found."),
        (["passing"], CheckStatus.PASSING, "All checks passing."),
        (["passing", "warning", "passing"], CheckStatus.WARNING, 'Aliased check "1" failing: o1'),
        (["warning", "critical"], CheckStatus.CRITICAL, 'Aliased check "1" failing: o1'),
    ],
)
def test_alias_takes_the_worst(statuses: list[str], status: CheckStatus, output: str) -> None:
    checks = [HealthCheck(name=str(n), status=s, output=f"o{n}") for n, s in enumerate(statuses)]
    assert outcome(checks) == (status, output)


def test_thresholds_hold_back_until_they_are_reached() -> None:
    seen: list[CheckStatus] = []
    definition = CheckDefinition(success_before_passing=2, failures_before_warning=2, failures_before_critical=3)
    thresholds = Thresholds(definition, lambda status, output: seen.append(status))
    for status in [CheckStatus.PASSING] * 2 + [CheckStatus.CRITICAL] * 3 + [CheckStatus.PASSING]:
        thresholds.observe(status, "")
    assert seen == [CheckStatus.PASSING, CheckStatus.WARNING, CheckStatus.CRITICAL]


@given(
    st.builds(
        CheckDefinition,
        ttl=st.sampled_from([0, 1, -1]),
        interval=st.sampled_from([0, 1]),
        http=st.sampled_from(["", "x"]),
        tcp=st.sampled_from(["", "x"]),
        grpc=st.sampled_from(["", "x"]),
        h2ping=st.sampled_from(["", "x"]),
        alias_service=st.sampled_from(["", "x"]),
        docker_container_id=st.sampled_from(["", "x"]),
        script_args=st.sampled_from([None, ["x"]]),
    )
)
def test_what_is_valid_has_a_kind(definition: CheckDefinition) -> None:
    try:
        kind = validate_check(definition)
    except RequestError:
        return
    assert kind is check_kind(definition)


async def test_a_script_that_times_out_leaves_nothing_running(bench: Bench, tmp_path: Path) -> None:
    """Neither itself nor what it left behind, which holds its output open."""
    pid_file = tmp_path / "pid"
    script = f"sleep 300 & echo $! >{pid_file}"
    definition = CheckDefinition(
        id="c", script_args=["sh", "-c", script], interval=SECOND_NS * 100, timeout=SECOND_NS // 2
    )
    status, output = await bench.first_report(definition)
    assert (status, output) == (CheckStatus.CRITICAL, "Timed out (0.5s) running check")
    async with asyncio.timeout(5):
        while _is_running(int(pid_file.read_text())):
            await asyncio.sleep(0.01)


def _is_running(pid: int) -> bool:
    """Whether a process is there and no zombie that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_an_alias_survives_a_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias, "LOCAL_INTERVAL_S", 0.001)
    faults: list[Exception] = [KeyError("a fault of ours")]

    def checks() -> list[HealthCheck]:
        if faults:
            raise faults.pop()
        return []

    reports: asyncio.Queue[CheckStatus] = asyncio.Queue()
    runner = alias.AliasRunner(
        CheckDefinition(id="c", alias_service="web"),
        lambda status, _: reports.put_nowait(status),
        local_checks=checks,
        node_checks=bench._node_checks,
    )
    runner.start()
    async with asyncio.timeout(5):
        assert [await reports.get(), await reports.get()] == [CheckStatus.CRITICAL, CheckStatus.PASSING]
    runner.stop()
