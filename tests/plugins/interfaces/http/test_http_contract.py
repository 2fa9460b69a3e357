"""The `http` interface fulfils the contract on IPv4 and IPv6, under asyncio's loop and under uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
import uvloop

from consul_kernel.contracts.transport import Address
from consul_kernel.structs.kv import IndexedDirEntries
from consul_kernel.structs.methods import KVS_GET
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel.testing.interface_kit import CHECKS, InterfaceCase, InterfaceContractTests
from consul_kernel_http import HttpConfig, HttpInterface


async def ask(address: Address) -> bool:
    """One read of a key on a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=8)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{address}/v1/kv/contract") as answer,
        ):
            await answer.read()
            return True
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def prepare(agent: FakeAgent) -> None:
    agent.answer(KVS_GET, IndexedDirEntries(index=3, known_leader=True))


def make_case(host: str) -> InterfaceCase:
    config = HttpConfig()
    return InterfaceCase(
        make=lambda context: HttpInterface(context, config), ask=ask, prepare=prepare, host=host, config=config
    )


class TestHttpInterface(InterfaceContractTests):
    @pytest.fixture(params=["127.0.0.1", "::1"])
    def case(self, request: pytest.FixtureRequest) -> InterfaceCase:
        return make_case(request.param)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_under_uvloop(check: Callable[[InterfaceCase], Awaitable[None]]) -> None:
    async def program() -> None:
        await check(make_case("127.0.0.1"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(program())
