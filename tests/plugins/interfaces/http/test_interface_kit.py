"""The interface kit notices interfaces that break their promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.interface import InterfaceContext, InterfaceSettings
from consul_kernel.contracts.transport import Address
from consul_kernel.testing import interface_kit as kit
from consul_kernel.testing.clauses import ClauseError
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel_http import HttpConfig, HttpInterface
from plugins.interfaces.http.test_http_contract import ask, prepare


class Honest(HttpInterface):
    """Keeps every promise; the others below break one each."""

    def __init__(self, context: InterfaceContext) -> None:
        super().__init__(context, HttpConfig())


class ShutsWrongly(Honest):
    async def aclose(self) -> None:
        """Leaves everything open."""


class HidesAddresses(Honest):
    def addresses(self) -> Sequence[str]:
        return [text.replace(":", ";") for text in super().addresses()]


class SwallowsStartErrors(Honest):
    async def start(self) -> None:
        try:
            await super().start()
        except PluginStartError:
            pass


class WaitsForever(Honest):
    has_waited = False

    async def aclose(self) -> None:
        if self.connection_count and not self.has_waited:
            self.has_waited = True
            await asyncio.Event().wait()
        await super().aclose()


class MovesOnReload(Honest):
    """Says that it cannot take up what has not changed."""

    def reload(self, settings: InterfaceSettings, config: HttpConfig) -> Sequence[str]:
        super().reload(settings, config)
        return ["port"]


class LeavesOnReload(Honest):
    """Serves on, but elsewhere."""

    def reload(self, settings: InterfaceSettings, config: HttpConfig) -> Sequence[str]:
        self._addresses.append("127.0.0.1:1 (tcp)")
        return super().reload(settings, config)


class DeafAfterReload(Honest):
    """Serves nobody any more."""

    def reload(self, settings: InterfaceSettings, config: HttpConfig) -> Sequence[str]:
        for listener in self._listeners:
            listener.close()
        return super().reload(settings, config)


class NeverAsks(Honest):
    """Answers without the agent, since nothing reaches it."""

    def __init__(self, context: InterfaceContext) -> None:
        super().__init__(context)
        self._dispatcher._resolver._router._routes.clear()


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (HidesAddresses, kit.check_1_2_addresses_have_real_ports),
        (SwallowsStartErrors, kit.check_1_3_port_in_use_is_a_start_error_that_names_it),
        (SwallowsStartErrors, kit.check_1_4_failed_start_leaves_nothing_bound),
        (NeverAsks, kit.check_2_1_requests_reach_the_agent_by_call),
        (WaitsForever, kit.check_4_2_close_does_not_wait_for_slow_calls),
        (ShutsWrongly, kit.check_4_3_closed_addresses_are_free),
        (DeafAfterReload, kit.check_5_1_serves_on_after_a_reload),
        (LeavesOnReload, kit.check_5_2_requests_in_flight_go_on),
        (MovesOnReload, kit.check_5_3_nothing_new_is_nothing_left),
    ],
)
async def test_broken_promises_are_noticed(
    make: Callable[[InterfaceContext], Honest], check: Callable[[kit.InterfaceCase], Awaitable[None]]
) -> None:
    made: list[Honest] = []

    def remember(context: InterfaceContext) -> Honest:
        made.append(make(context))
        return made[-1]

    try:
        with pytest.raises((ClauseError, TimeoutError)):
            await check(kit.InterfaceCase(make=remember, ask=ask, prepare=prepare, config=HttpConfig()))
        await check(kit.InterfaceCase(make=Honest, ask=ask, prepare=prepare, config=HttpConfig()))
    finally:
        for interface in made:
            await HttpInterface.aclose(interface)


def test_addresses_are_read() -> None:
    class Fixed(Honest):
        def addresses(self) -> Sequence[str]:
            return ["[::1]:8500 (tcp)"]

    context = kit.make_context(kit.InterfaceCase(make=Honest, ask=ask, prepare=prepare), FakeAgent(), [])
    assert kit.bound_address(Fixed(context)) == Address("::1", 8500)
