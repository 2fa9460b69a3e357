"""Docker checks against an engine on a unix socket."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from harness.checks import SECOND_NS, CheckBench
from plugins.checks.probed import DockerDaemon, docker_engine


def docker(container: str = "web", timeout_ns: int = 5 * SECOND_NS) -> CheckDefinition:
    return CheckDefinition(
        id="c",
        docker_container_id=container,
        script_args=["check", "it"],
        shell="/bin/bash",
        interval=SECOND_NS,
        timeout=timeout_ns,
    )


async def run(
    bench: CheckBench, monkeypatch: pytest.MonkeyPatch, daemon: DockerDaemon, definition: CheckDefinition
) -> tuple[CheckStatus, str]:
    async with docker_engine(daemon) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        return await bench.first_report(definition)


@pytest.mark.parametrize(
    ("code", "status"), [(0, CheckStatus.PASSING), (1, CheckStatus.WARNING), (2, CheckStatus.CRITICAL)]
)
async def test_the_exit_status_counts(
    bench: CheckBench, monkeypatch: pytest.MonkeyPatch, code: int, status: CheckStatus
) -> None:
    daemon = DockerDaemon(exit_code=code, output=b"from within")
    assert await run(bench, monkeypatch, daemon, docker()) == (status, "from within")
    assert daemon.commands == [["check", "it"]]


async def test_its_end_is_kept_of_long_output(bench: CheckBench, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = DockerDaemon(output=b"a" * 5000 + b"b" * 4096)
    _, output = await run(bench, monkeypatch, daemon, docker())
    assert output == "Captured 4096 of 9096 bytes\n...\n" + "b" * 4096


@pytest.mark.parametrize(
    ("container", "output"),
    [
        ("gone/../web", "create exec failed for unknown container gone/../web"),
        ("paused", "create exec failed since container paused is paused or stopped"),
        ("odd", "create exec response for container odd cannot be parsed: "),
    ],
)
async def test_what_the_engine_refuses_is_critical(
    bench: CheckBench, monkeypatch: pytest.MonkeyPatch, container: str, output: str
) -> None:
    status, said = await run(bench, monkeypatch, DockerDaemon(), docker(container))
    assert status is CheckStatus.CRITICAL
    assert said.startswith(output)


@pytest.mark.parametrize(
    ("host", "output"),
    [
        ("unix:///no/such/socket", "create exec failed for container web: "),
        ("nonsense", "unable to parse docker host `nonsense`"),
    ],
)
async def test_without_an_engine_it_is_critical(
    bench: CheckBench, monkeypatch: pytest.MonkeyPatch, host: str, output: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    status, said = await bench.first_report(docker())
    assert status is CheckStatus.CRITICAL
    assert said.startswith(output)


async def test_a_command_that_takes_too_long(bench: CheckBench, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = await run(bench, monkeypatch, DockerDaemon(hold=True), docker(timeout_ns=SECOND_NS // 10))
    assert reported == (CheckStatus.CRITICAL, "Timed out (0.1s) running check in container web")


async def test_a_container_alone_is_no_check(bench: CheckBench) -> None:
    definition = CheckDefinition(id="c", docker_container_id="web", interval=SECOND_NS)
    with pytest.raises(RequestError, match="TTL must be > 0 for TTL checks"):
        await bench.first_report(definition)
