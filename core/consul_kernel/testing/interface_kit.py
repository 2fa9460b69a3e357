"""Checks that every interface passes, by the numbered clauses of docs/contracts/interface.md.

Each check is a coroutine function of one `InterfaceCase`: how to make the interface, and how to ask it something.
A plugin's suite subclasses `InterfaceContractTests` and gives it a fixture `case`; other test runners call the
checks directly.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from consul_kernel.contracts.errors import PluginStartError, RpcError
from consul_kernel.contracts.interface import Interface, InterfaceContext, InterfaceSettings, ReloadableInterface
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings

from .clauses import ClauseError, require
from .fake_agent import FakeAgent

WAIT_S = 10.0
"""What a check waits at most for anything that must happen."""

CLOSE_S = 3.0
"""How long closing may take under load (clause 4.2)."""

MANY = 50
"""How many clients ask at once (clause 2.3)."""

GARBAGE: tuple[bytes, ...] = (
    b"\x00" * 64,
    bytes(range(256)),
    b"\xff" * 600,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"A" * 70_000,
    b"\x00\x0c\x12\x34\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"",
)
"""What no protocol would send: zeros, every octet, a TLS greeting, half requests, a short DNS message, nothing."""

Ask = Callable[[Address], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceCase:
    """An interface as the checks see it.

    `ask(address)` sends one request that makes the interface call the agent (any method), on a connection of its
    own, and tells whether any answer came within a few seconds, refusals included; it must not raise for a
    refused or broken connection. `prepare(agent)` scripts the answers that the request needs.
    """

    make: Callable[[InterfaceContext], Interface]
    ask: Ask
    prepare: Callable[[FakeAgent], None]
    host: str = "127.0.0.1"
    limits: LimitSettings = field(default_factory=LimitSettings)
    has_streams: bool = True
    """Whether it listens on TCP."""
    has_packets: bool = False
    """Whether it listens on UDP, on the same ports."""
    config: PluginConfig | None = None
    """The block that `make` uses, for an interface that takes up another while it serves (section 5)."""


def bound_address(interface: Interface) -> Address:
    """The first address that an interface says it serves."""
    text = interface.addresses()[0].split(" ")[0]
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def make_context(case: InterfaceCase, agent: FakeAgent, bind: Sequence[Address]) -> InterfaceContext:
    """A context with default settings."""
    return InterfaceContext(agent=agent, bind=bind, dns=DnsSettings(), http=HttpSettings(), limits=case.limits)


class Running:
    """An interface that runs for the length of a check, with its agent."""

    def __init__(self, case: InterfaceCase) -> None:
        self._case = case
        self.agent = FakeAgent()
        case.prepare(self.agent)
        self.interface = case.make(make_context(case, self.agent, [Address(case.host, 0)]))

    async def __aenter__(self) -> Running:
        await self.interface.start()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await asyncio.wait_for(self.interface.aclose(), WAIT_S)

    async def answers(self) -> bool:
        """Whether one request is answered."""
        return await asyncio.wait_for(self._case.ask(bound_address(self.interface)), WAIT_S)


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


# --- 1. start ---


async def check_1_1_serves_when_start_returns(case: InterfaceCase) -> None:
    """1.1: once `start` has returned, the first request is answered."""
    async with Running(case) as running:
        require(await running.answers(), "1.1: no answer right after start")


async def check_1_2_addresses_have_real_ports(case: InterfaceCase) -> None:
    """1.2: `addresses` tells host, real port and protocol of everything that is bound."""
    async with Running(case) as running:
        addresses = running.interface.addresses()
        require(len(addresses) > 0, "1.2: no address")
        for text in addresses:
            place, _, protocol = text.partition(" ")
            port = place.rpartition(":")[2]
            require(port.isdigit() and int(port) > 0, f"1.2: {text!r} has no port")
            require(protocol.startswith("(") and protocol.endswith(")"), f"1.2: {text!r} names no protocol")


async def check_1_3_port_in_use_is_a_start_error_that_names_it(case: InterfaceCase) -> None:
    """1.3: an address in use raises PluginStartError with the address in its text."""
    async with Running(case) as running:
        taken = bound_address(running.interface)
        second = case.make(make_context(case, FakeAgent(), [taken]))
        try:
            await second.start()
        except PluginStartError as error:
            require(str(taken.port) in str(error), f"1.3: {error} does not name the address")
        else:
            raise ClauseError("1.3: the same address was bound twice")
        finally:
            await second.aclose()
        require(await running.answers(), "1.3: the first interface no longer answers")


async def check_1_4_failed_start_leaves_nothing_bound(case: InterfaceCase) -> None:
    """1.4: when one of several addresses cannot be bound, none stays bound."""
    async with Running(case) as running:
        free = Address(case.host, _free_port(case.host))
        broken = case.make(make_context(case, FakeAgent(), [free, bound_address(running.interface)]))
        try:
            await broken.start()
        except PluginStartError:
            pass
        else:
            raise ClauseError("1.4: the start did not fail")
        again = case.make(make_context(case, FakeAgent(), [free]))
        await again.start()
        await again.aclose()
        await broken.aclose()


async def check_1_5_no_address_is_no_error(case: InterfaceCase) -> None:
    """1.5: without an address the interface starts, serves nowhere, and closes."""
    interface = case.make(make_context(case, FakeAgent(), []))
    await interface.start()
    require(len(interface.addresses()) == 0, "1.5: it serves although no address was given")
    await interface.aclose()


# --- 2. what comes in ---


async def check_2_1_requests_reach_the_agent_by_call(case: InterfaceCase) -> None:
    """2.1: what is asked is asked of the agent, through `AgentApi.call`."""
    async with Running(case) as running:
        require(await running.answers(), "2.1: no answer")
        require(len(running.agent.calls) > 0, "2.1: the agent was not asked")


async def check_2_2_garbage_harms_nobody(case: InterfaceCase) -> None:
    """2.2: whatever arrives on its ports, the interface goes on serving."""
    async with Running(case) as running:
        address = bound_address(running.interface)
        for octets in GARBAGE:
            if case.has_streams:
                await _send_on_stream(address, octets)
            if case.has_packets:
                await _send_as_packet(address, octets[:60_000])
        require(await running.answers(), "2.2: no answer after garbage")


async def _send_on_stream(address: Address, octets: bytes) -> None:
    """Send, end the stream, and read until the other side has ended it, too."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(octets)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), WAIT_S)
    except OSError:
        pass  # a reset is an answer, too
    except TimeoutError:
        pass  # waiting for more is not forbidden
    finally:
        writer.close()


async def _send_as_packet(address: Address, octets: bytes) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=address)
    transport.sendto(octets)
    transport.close()


async def check_2_3_many_clients_at_once(case: InterfaceCase) -> None:
    """2.3: clients that ask at the same time are all answered."""
    async with Running(case) as running:
        address = bound_address(running.interface)
        answered = await asyncio.wait_for(asyncio.gather(*(case.ask(address) for _ in range(MANY))), WAIT_S)
        require(all(answered), f"2.3: {answered.count(False)} of {MANY} got no answer")


async def check_2_4_silent_clients_do_not_block_others(case: InterfaceCase) -> None:
    """2.4: connections on which nothing is sent do not keep others from being served."""
    if not case.has_streams:
        return
    async with Running(case) as running:
        address = bound_address(running.interface)
        silent = [await asyncio.open_connection(address.host, address.port) for _ in range(MANY)]
        require(await running.answers(), "2.4: no answer beside silent connections")
        for _, writer in silent:
            writer.close()


async def check_2_5_slow_calls_do_not_block_others(case: InterfaceCase) -> None:
    """2.5: while one call waits, others are answered."""
    async with Running(case) as running:
        agent, address = running.agent, bound_address(running.interface)
        gate = asyncio.Event()
        waiting = hang(agent, gate, calls=1)
        first = asyncio.ensure_future(case.ask(address))
        await asyncio.wait_for(waiting.wait(), WAIT_S)
        require(await running.answers(), "2.5: no answer beside a slow call")
        gate.set()
        await asyncio.wait_for(first, WAIT_S)


def hang(agent: FakeAgent, gate: asyncio.Event, *, calls: int) -> asyncio.Event:
    """Make the agent's next calls wait for the gate; the event is set once that many wait."""
    original, reached, count = agent.call, asyncio.Event(), 0

    async def call(method: Any, request: Any) -> Any:
        nonlocal count
        if count < calls:
            count += 1
            if count == calls:
                reached.set()
            await gate.wait()
        return await original(method, request)

    agent.call = call  # type: ignore[method-assign]
    agent.answers_at_once = False
    return reached


# --- 3. when the agent fails ---


async def check_3_1_refused_calls_are_answered(case: InterfaceCase) -> None:
    """3.1: an error of the agent becomes an answer in the interface's own terms."""
    async with Running(case) as running:
        fail(running.agent, RpcError("No cluster leader"))
        require(await running.answers(), "3.1: no answer to a refused call")


async def check_3_2_faults_are_answered(case: InterfaceCase) -> None:
    """3.2: so does an exception that no contract knows; later requests are served."""
    async with Running(case) as running:
        original = running.agent.call
        fail(running.agent, ZeroDivisionError("a fault on purpose"))
        require(await running.answers(), "3.2: no answer to a call that failed")
        running.agent.call = original  # type: ignore[method-assign]
        require(await running.answers(), "3.2: no answer after a call that failed")


def fail(agent: FakeAgent, error: Exception) -> None:
    """Make every call of the agent raise."""

    async def call(method: Any, request: Any) -> NoReturn:
        raise error

    agent.call = call  # type: ignore[method-assign]
    agent.answers_at_once = False


# --- 4. the end ---


async def check_4_1_close_is_idempotent(case: InterfaceCase) -> None:
    """4.1: `aclose` may be called twice, and before `start`."""
    async with Running(case) as running:
        await asyncio.wait_for(running.interface.aclose(), WAIT_S)
        await asyncio.wait_for(running.interface.aclose(), WAIT_S)
    unstarted = case.make(make_context(case, FakeAgent(), [Address(case.host, 0)]))
    await asyncio.wait_for(unstarted.aclose(), WAIT_S)


async def check_4_2_close_does_not_wait_for_slow_calls(case: InterfaceCase) -> None:
    """4.2: closing takes at most 3 s, however long the calls in flight would."""
    async with Running(case) as running:
        waiting = hang(running.agent, asyncio.Event(), calls=5)
        address = bound_address(running.interface)
        asking = [asyncio.ensure_future(case.ask(address)) for _ in range(5)]
        await asyncio.wait_for(waiting.wait(), WAIT_S)
        await asyncio.wait_for(running.interface.aclose(), CLOSE_S)
        for request in asking:
            request.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def check_4_3_closed_addresses_are_free(case: InterfaceCase) -> None:
    """4.3: after `aclose` nobody answers, `addresses` is empty, and the addresses can be bound again."""
    async with Running(case) as running:
        address = bound_address(running.interface)
        require(await running.answers(), "4.3: no answer before")
        await running.interface.aclose()
        require(len(running.interface.addresses()) == 0, "4.3: addresses remain")
        require(not await asyncio.wait_for(case.ask(address), WAIT_S), "4.3: something still answers")
        agent = FakeAgent()
        case.prepare(agent)
        again = case.make(make_context(case, agent, [address]))
        await again.start()
        require(await asyncio.wait_for(case.ask(address), WAIT_S), "4.3: the successor does not answer")
        await again.aclose()


# --- 5. a changed agent file ---


def _reload(case: InterfaceCase, interface: Interface) -> Sequence[str]:
    assert isinstance(interface, ReloadableInterface)
    settings = InterfaceSettings(dns=DnsSettings(), http=HttpSettings(), limits=case.limits)
    return interface.reload(settings, case.config)


async def check_5_1_serves_on_after_a_reload(case: InterfaceCase) -> None:
    """5.1: after `reload` the next request is answered."""
    if case.config is None:
        return
    async with Running(case) as running:
        _reload(case, running.interface)
        require(await running.answers(), "5.1: no answer after a reload")


async def check_5_2_requests_in_flight_go_on(case: InterfaceCase) -> None:
    """5.2: a request that waits while the interface reloads is answered, on the same addresses."""
    if case.config is None:
        return
    async with Running(case) as running:
        agent, address, gate = running.agent, bound_address(running.interface), asyncio.Event()
        before = list(running.interface.addresses())
        waiting = hang(agent, gate, calls=1)
        asking = asyncio.ensure_future(case.ask(address))
        await asyncio.wait_for(waiting.wait(), WAIT_S)
        _reload(case, running.interface)
        require(list(running.interface.addresses()) == before, "5.2: the addresses have changed")
        gate.set()
        require(await asyncio.wait_for(asking, WAIT_S), "5.2: a request in flight was lost")


async def check_5_3_nothing_new_is_nothing_left(case: InterfaceCase) -> None:
    """5.3: `reload` with what is there returns no key."""
    if case.config is None:
        return
    async with Running(case) as running:
        left = list(_reload(case, running.interface))
        require(not left, f"5.3: {left} have not changed")


CHECKS: tuple[Callable[[InterfaceCase], Awaitable[None]], ...] = tuple(
    value for name, value in sorted(globals().items()) if name.startswith("check_")
)
"""Every check, in the order of the clauses."""


class InterfaceContractTests:
    """Base of a plugin's suite. The subclass defines a fixture `case` that returns an `InterfaceCase`."""

    async def test_1_1(self, case: InterfaceCase) -> None:
        await check_1_1_serves_when_start_returns(case)

    async def test_1_2(self, case: InterfaceCase) -> None:
        await check_1_2_addresses_have_real_ports(case)

    async def test_1_3(self, case: InterfaceCase) -> None:
        await check_1_3_port_in_use_is_a_start_error_that_names_it(case)

    async def test_1_4(self, case: InterfaceCase) -> None:
        await check_1_4_failed_start_leaves_nothing_bound(case)

    async def test_1_5(self, case: InterfaceCase) -> None:
        await check_1_5_no_address_is_no_error(case)

    async def test_2_1(self, case: InterfaceCase) -> None:
        await check_2_1_requests_reach_the_agent_by_call(case)

    async def test_2_2(self, case: InterfaceCase) -> None:
        await check_2_2_garbage_harms_nobody(case)

    async def test_2_3(self, case: InterfaceCase) -> None:
        await check_2_3_many_clients_at_once(case)

    async def test_2_4(self, case: InterfaceCase) -> None:
        await check_2_4_silent_clients_do_not_block_others(case)

    async def test_2_5(self, case: InterfaceCase) -> None:
        await check_2_5_slow_calls_do_not_block_others(case)

    async def test_3_1(self, case: InterfaceCase) -> None:
        await check_3_1_refused_calls_are_answered(case)

    async def test_3_2(self, case: InterfaceCase) -> None:
        await check_3_2_faults_are_answered(case)

    async def test_4_1(self, case: InterfaceCase) -> None:
        await check_4_1_close_is_idempotent(case)

    async def test_4_2(self, case: InterfaceCase) -> None:
        await check_4_2_close_does_not_wait_for_slow_calls(case)

    async def test_4_3(self, case: InterfaceCase) -> None:
        await check_4_3_closed_addresses_are_free(case)

    async def test_5_1(self, case: InterfaceCase) -> None:
        await check_5_1_serves_on_after_a_reload(case)

    async def test_5_2(self, case: InterfaceCase) -> None:
        await check_5_2_requests_in_flight_go_on(case)

    async def test_5_3(self, case: InterfaceCase) -> None:
        await check_5_3_nothing_new_is_nothing_left(case)
