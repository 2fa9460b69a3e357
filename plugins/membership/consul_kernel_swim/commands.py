"""Commands that the core has been given and whose ends are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from consul_kernel.contracts.errors import MembershipError

from .core.events import CommandDone, Input

CLOSED: Final = "the membership is closed"

OutcomeT = TypeVar("OutcomeT")


class Commands:
    """Numbers commands, posts them, and waits for their ends."""

    def __init__(self, post: Callable[[Input], None]) -> None:
        self._post = post
        self._waiting: dict[int, asyncio.Future[CommandDone]] = {}
        self._last_id = 0
        self._closed = False

    async def run(self, make: Callable[[int], Input]) -> CommandDone:
        """Hand a command to the core and wait for its end."""
        self._last_id += 1
        command_id = self._last_id
        if self._closed:
            return CommandDone(command_id, CLOSED)
        done: asyncio.Future[CommandDone] = asyncio.get_running_loop().create_future()
        self._waiting[command_id] = done
        try:
            self._post(make(command_id))
            return await done
        finally:
            del self._waiting[command_id]

    async def check(self, make: Callable[[int], Input]) -> None:
        """As `run`; raises MembershipError when the command comes to nothing."""
        done = await self.run(make)
        if done.error is not None:
            raise MembershipError(done.error)

    async def ask(self, make: Callable[[int], Input], outcome_type: type[OutcomeT]) -> OutcomeT:
        """As `check`, for a command with an outcome of this type."""
        done = await self.run(make)
        if done.error is not None or not isinstance(done.outcome, outcome_type):
            raise MembershipError(done.error or "the command has ended without an outcome")
        return done.outcome

    def settle(self, done: CommandDone) -> None:
        """A command has ended."""
        waiting = self._waiting.get(done.command_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(done)

    def close(self) -> None:
        """End every command, and refuse further ones."""
        self._closed = True
        for command_id, waiting in self._waiting.items():
            if not waiting.done():
                waiting.set_result(CommandDone(command_id, CLOSED))
