"""Leaving in Serf's order: first the intent, then SWIM's dead about ourselves, each given time to be sent."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from .environment import Environment
from .messages import Dead
from .nodes import NodeTable
from .rules import MembershipRules
from .serf import Serf


def once_soon(env: Environment, action: Callable[[], None], timeout_ms: int) -> Callable[[], None]:
    """A callback that runs `action` once, in the next step after it is called, or by itself after `timeout_ms`."""
    done = False

    def run() -> None:
        nonlocal done
        if not done:
            done = True
            action()

    timer = env.after(timeout_ms, run)

    def call() -> None:
        timer.cancel()
        env.after(0, run)

    return call


class _Stage(Enum):
    HERE = auto()
    LEAVING = auto()
    LEFT = auto()


class Departure:
    """Runs at most once in the life of an agent."""

    def __init__(self, env: Environment, nodes: NodeTable, rules: MembershipRules, serf: Serf) -> None:
        self._env = env
        self._nodes = nodes
        self._rules = rules
        self._serf = serf
        self._stage = _Stage.HERE
        self._waiting: list[int] = []

    @property
    def begun(self) -> bool:
        return self._stage is not _Stage.HERE

    def leave(self, command_id: int) -> None:
        """Begin to leave, or wait for the end of a leave that is under way."""
        if self._stage is _Stage.LEFT:
            self._env.finish(command_id)
            return
        self._waiting.append(command_id)
        if self._stage is _Stage.LEAVING:
            return
        self._stage = _Stage.LEAVING
        self._serf.roster.is_leaving = True
        heard = self._nodes.others_alive()
        go_on = self._when_sent(self._say_dead, heard=heard)
        self._serf.announce_leave(self._nodes.own_name, prune=False, on_sent=go_on)
        if not heard:
            go_on()

    def _say_dead(self) -> None:
        self._rules.has_left = True
        own = self._nodes.own
        heard = self._nodes.others_alive()
        go_on = self._when_sent(self._linger, heard=heard)
        self._rules.dead(Dead(own.incarnation, own.name, own.name), on_sent=go_on)
        if not heard:
            go_on()

    def _linger(self) -> None:
        """Stay reachable while the news spreads."""
        delay_ms = self._env.settings.leave_propagate_delay_ms if self._nodes.others_alive() else 0
        self._env.after(delay_ms, self._finish)

    def _finish(self) -> None:
        self._stage = _Stage.LEFT
        for command_id in self._waiting:
            self._env.finish(command_id)
        self._waiting.clear()

    def _when_sent(self, action: Callable[[], None], *, heard: bool) -> Callable[[], None]:
        timeout_ms = self._env.settings.broadcast_timeout_ms if heard else 0
        return once_soon(self._env, action, timeout_ms)
