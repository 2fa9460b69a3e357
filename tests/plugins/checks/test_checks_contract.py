"""Every default kind of check keeps the contract."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from consul_kernel.contracts.check import REMOTE_CODE, CheckPlugin
from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.plugins import PluginManager
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.testing import check_kit
from consul_kernel.testing.check_kit import CheckCase, CheckContractTests, Keys, Target
from consul_kernel_checks.grpc_messages import ServingStatus
from plugins.checks.probed import (
    DockerDaemon,
    GrpcServer,
    SilentUdpService,
    UdpService,
    docker_engine,
    http_server,
    serving,
    silent_server,
    tcp_server,
    udp_server,
)

NOBODY = "127.0.0.1:1"
DOCS = Path(__file__).parents[3] / "docs" / "contracts" / "check.md"


def plugin(name: str) -> CheckPlugin:
    found = PluginManager().load(PluginKind.CHECK, name)
    assert isinstance(found, CheckPlugin)
    return found


def nobody(**keys: object) -> Target:
    """Keys of a target that does not exist."""

    @contextlib.asynccontextmanager
    async def context() -> AsyncIterator[Keys]:
        yield keys

    return context


def http_case() -> CheckCase:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="x" * 100_000 if request.path == "/chatty" else "fine")

    @contextlib.asynccontextmanager
    async def healthy(path: str = "") -> AsyncIterator[Keys]:
        async with http_server(answer) as address:
            yield {"http": f"http://{address}/{path}"}

    @contextlib.asynccontextmanager
    async def silent() -> AsyncIterator[Keys]:
        async with silent_server() as address:
            yield {"http": f"http://{address}/"}

    sick = nobody(http=f"http://{NOBODY}/")
    return CheckCase(plugin=plugin("http"), healthy=healthy, sick=sick, silent=silent, chatty=lambda: healthy("chatty"))


def tcp_case() -> CheckCase:
    @contextlib.asynccontextmanager
    async def healthy() -> AsyncIterator[Keys]:
        async with silent_server() as address:
            yield {"tcp": address}

    return CheckCase(plugin=plugin("tcp"), healthy=healthy, sick=nobody(tcp=NOBODY))


def udp_case() -> CheckCase:
    @contextlib.asynccontextmanager
    async def healthy() -> AsyncIterator[Keys]:
        async with udp_server(UdpService()) as address:
            yield {"udp": address}

    @contextlib.asynccontextmanager
    async def silent() -> AsyncIterator[Keys]:
        async with udp_server(SilentUdpService()) as address:
            yield {"udp": address}

    refused = [{"udp": NOBODY, "udp_message": ""}]
    return CheckCase(plugin=plugin("udp"), healthy=healthy, sick=nobody(udp=NOBODY), silent=silent, refused=refused)


def script_case() -> CheckCase:
    @contextlib.asynccontextmanager
    async def healthy() -> AsyncIterator[Keys]:
        with tempfile.NamedTemporaryFile() as file:
            yield {"args": ["ls", file.name]}

    return CheckCase(
        plugin=plugin("args"),
        healthy=healthy,
        sick=nobody(args=["sh", "-c", "echo bad; exit 1"]),
        silent=nobody(args=["sleep", "60"]),
        chatty=nobody(args=[sys.executable, "-S", "-c", "print('x' * 100_000)"]),
    )


def docker_case() -> CheckCase:
    @contextlib.asynccontextmanager
    async def engine(daemon: DockerDaemon) -> AsyncIterator[Keys]:
        async with docker_engine(daemon) as host:
            before = os.environ.get("DOCKER_HOST", "")
            os.environ["DOCKER_HOST"] = host
            try:
                yield {"docker_container_id": "web", "args": ["true"]}
            finally:
                os.environ["DOCKER_HOST"] = before

    return CheckCase(
        plugin=plugin("docker_container_id"),
        healthy=lambda: engine(DockerDaemon()),
        sick=nobody(docker_container_id="gone", args=["true"]),
        silent=lambda: engine(DockerDaemon(hold=True)),
        chatty=lambda: engine(DockerDaemon(output=b"x" * 100_000)),
        refused=[{"docker_container_id": "web"}],
    )


def grpc_case() -> CheckCase:
    @contextlib.asynccontextmanager
    async def healthy() -> AsyncIterator[Keys]:
        async with tcp_server(GrpcServer(lambda _: serving(ServingStatus.SERVING))) as address:
            yield {"grpc": address}

    @contextlib.asynccontextmanager
    async def sick() -> AsyncIterator[Keys]:
        async with tcp_server(GrpcServer(lambda _: serving(ServingStatus.NOT_SERVING))) as address:
            yield {"grpc": f"{address}/web"}

    @contextlib.asynccontextmanager
    async def silent() -> AsyncIterator[Keys]:
        async with tcp_server(GrpcServer(lambda _: None)) as address:
            yield {"grpc": address}

    return CheckCase(plugin=plugin("grpc"), healthy=healthy, sick=sick, silent=silent)


def h2ping_case() -> CheckCase:
    @contextlib.asynccontextmanager
    async def healthy() -> AsyncIterator[Keys]:
        async with tcp_server(GrpcServer(lambda _: None)) as address:
            yield {"h2ping": address, "h2ping_use_tls": False}

    @contextlib.asynccontextmanager
    async def silent() -> AsyncIterator[Keys]:
        async with silent_server() as address:
            yield {"h2ping": address, "h2ping_use_tls": False}

    sick = nobody(h2ping=NOBODY, h2ping_use_tls=False)
    return CheckCase(plugin=plugin("h2ping"), healthy=healthy, sick=sick, silent=silent)


CASES = {
    "http": http_case,
    "tcp": tcp_case,
    "udp": udp_case,
    "args": script_case,
    "docker_container_id": docker_case,
    "grpc": grpc_case,
    "h2ping": h2ping_case,
}


class TestContract(CheckContractTests):
    """Every clause of docs/contracts/check.md, for every kind."""

    @pytest.fixture(params=CASES)
    def case(self, request: pytest.FixtureRequest) -> CheckCase:
        return CASES[request.param]()


@pytest.mark.parametrize("name", CASES)
def test_it_holds_on_uvloop_too(name: str) -> None:
    """On which agents run where it is installed."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        for check in check_kit.CHECKS:
            await check(CASES[name]())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_every_default_kind_is_held_to_it() -> None:
    assert set(CASES) == set(PluginManager().names(PluginKind.CHECK))


@pytest.mark.parametrize("name", CASES)
def test_kinds_that_run_commands_say_so(name: str) -> None:
    """1.4: those whose definitions have arguments of a command, and no others."""
    kind = plugin(name)
    takes_commands = "args" in kind.config_type.__struct_fields__
    assert (REMOTE_CODE in kind.capabilities) is takes_commands


def test_clauses_checks_and_suite_match() -> None:
    clauses = set(re.findall(r"^(\d+\.\d+) ", DOCS.read_text(), re.MULTILINE))
    checks = {"{}.{}".format(*check.__name__.split("_")[1:3]) for check in check_kit.CHECKS}
    tests = {"{}.{}".format(*test.split("_")[1:3]) for test in vars(CheckContractTests) if test.startswith("test_")}
    assert checks == tests == clauses - {"1.4"}


def test_the_kernels_keys_are_keys_of_definitions() -> None:
    assert set(CheckDefinition.__struct_fields__) >= check_kit.NOT_A_PLUGINS
