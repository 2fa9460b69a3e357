"""The time of sessions, on a clock that jumps: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from consul_kernel.contracts.errors import ProposalTimeoutError
from consul_kernel.server import session_timers
from consul_kernel.server.session_timers import ttl_seconds
from consul_kernel.state import CommandType, encode_command
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.session import Session, SessionOp, SessionRequest
from consul_kernel.testing.virtual_time import run_virtual
from core.endpoints.harness import Endpoints


def uuid(number: int) -> str:
    return f"AAAAAAAA-0000-0000-0000-{number:012}"


class World:
    """Timers over a state of its own, in which every session ends only by them."""

    def __init__(self) -> None:
        endpoints = Endpoints()
        self.state, self.consensus, self.timers = endpoints.state, endpoints.consensus, endpoints.session_timers
        self._apply(CommandType.REGISTER, RegisterRequest(node="n1", address="10.0.0.1"))

    def _apply(self, kind: CommandType, request: RegisterRequest | SessionRequest) -> None:
        self.state.apply([(self.state.applied_index + 1, encode_command(kind, request))])

    def create(self, number: int, ttl: str) -> Session:
        session = Session(id=uuid(number), node="n1", ttl=ttl)
        self._apply(CommandType.SESSION, SessionRequest(op=SessionOp.CREATE, session=session))
        return session

    def destroy(self, number: int) -> None:
        request = SessionRequest(op=SessionOp.DESTROY, session=Session(id=uuid(number)))
        self._apply(CommandType.SESSION, request)

    @property
    def alive(self) -> list[int]:
        return [int(session.id[-12:]) for session in self.state.sessions.all()[1]]


def scene(play: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        try:
            await play(world)
        finally:
            world.timers.stop()

    run_virtual(run(), limit_s=5 * 24 * 3600)


def test_a_session_ends_after_twice_its_ttl_and_not_before() -> None:
    async def play(world: World) -> None:
        for number, ttl in enumerate(["10s", "30s", "", "0s", "24h"]):
            world.create(number, ttl)
        world.timers.start()
        await asyncio.sleep(19.9)
        assert world.alive == [0, 1, 2, 3, 4]
        await asyncio.sleep(0.7)
        assert world.alive == [1, 2, 3, 4]
        await asyncio.sleep(40)
        assert world.alive == [2, 3, 4]
        await asyncio.sleep(48 * 3600 - 61)
        assert world.alive == [2, 3, 4]
        await asyncio.sleep(2)
        assert world.alive == [2, 3]
        assert len(world.timers) == 0

    scene(play)


def test_renewing_and_creating_while_they_run() -> None:
    async def play(world: World) -> None:
        world.timers.start()
        first, second = world.create(1, "10s"), world.create(2, "1h")
        world.timers.reset(second)
        world.timers.reset(first)
        for _ in range(10):
            await asyncio.sleep(19)
            world.timers.reset(first)
        assert world.alive == [1, 2]
        await asyncio.sleep(21)
        assert world.alive == [2]

    scene(play)


def test_a_session_that_ended_otherwise_is_not_ended_again() -> None:
    async def play(world: World) -> None:
        world.timers.start()
        for number in (1, 2):
            world.timers.reset(world.create(number, "10s"))
            world.destroy(number)
        world.timers.clear(uuid(2))
        assert len(world.timers) == 1
        await asyncio.sleep(30)
        assert world.consensus.proposals == []
        assert len(world.timers) == 0

    scene(play)


def test_another_leader_gives_everybody_the_whole_time_again() -> None:
    async def play(world: World) -> None:
        session = world.create(1, "10s")
        world.timers.start()
        await asyncio.sleep(15)
        world.timers.stop()
        world.timers.reset(session)
        assert len(world.timers) == 0
        await asyncio.sleep(100)
        assert world.alive == [1]
        world.timers.restart()
        assert len(world.timers) == 0
        world.timers.start()
        await asyncio.sleep(15)
        world.timers.restart()
        await asyncio.sleep(15)
        assert world.alive == [1]
        await asyncio.sleep(6)
        assert world.alive == []

    scene(play)


def test_an_end_that_fails_is_tried_again() -> None:
    async def play(world: World) -> None:
        world.create(1, "10s")
        world.timers.start()
        world.consensus.propose_error = ProposalTimeoutError("slow")
        await asyncio.sleep(21)
        assert world.alive == [1]
        world.consensus.propose_error = None
        await asyncio.sleep(session_timers.RETRY_S + session_timers.GATHER_S)
        assert world.alive == []

    scene(play)


def test_many_that_end_at_once_and_many_renewals_take_their_room_only_once() -> None:
    async def play(world: World) -> None:
        world.timers.start()
        sessions = [world.create(number, "10s") for number in range(200)]
        for _ in range(50):
            for session in sessions:
                world.timers.reset(session)
        assert len(world.timers._order) <= 2 * len(sessions) + session_timers.EXPIRED_AT_ONCE
        await asyncio.sleep(20.6)
        assert world.alive == []

    scene(play)


@pytest.mark.parametrize(("ttl", "seconds"), [("", 0), ("0s", 0), ("odd", 0), ("1m30s", 90), ("-5s", -5)])
def test_the_ttl_of_a_session(ttl: str, seconds: float) -> None:
    assert ttl_seconds(Session(ttl=ttl)) == seconds


def test_sessions_end_in_the_order_of_their_times_though_together() -> None:
    async def play(world: World) -> None:
        world.timers.start()
        for number in (3, 1, 2):
            world.timers.reset(world.create(number, "10s"))
            await asyncio.sleep(0.01)
        await asyncio.sleep(20.6)
        ids = [msgspec.msgpack.decode(command[1:])["Session"]["ID"] for command in world.consensus.proposals]
        assert [int(session_id[-12:]) for session_id in ids] == [3, 1, 2]

    scene(play)


def test_an_id_that_cannot_be_ended_does_not_end_the_timers(caplog: pytest.LogCaptureFixture) -> None:
    async def play(world: World) -> None:
        world.timers.start()
        world.timers.reset(Session(id="from-an-archive", ttl="10s"))
        world.timers.reset(world.create(1, "20s"))
        await asyncio.sleep(41)
        assert world.alive == []

    scene(play)
    assert "session from-an-archive cannot be ended" in caplog.text
