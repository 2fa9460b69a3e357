"""Telling the application, at once or coalesced as in Serf.

With coalescing, the first event starts a quantum. It ends when the coalesce period is over, or when nothing has
come for the quiescent period; then only the newest event of each member, and of each name of a user event, is
told. User events are coalesced where their sender allows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, UserEvent

from .environment import Environment
from .events import Keep, Notify

_PENDING_MAX: Final = 4_096
"""Events that wait for the end of a quantum; one more ends it."""


class _Quantum:
    """A span of time that `note` starts or stretches, and at whose end `flush` is called."""

    def __init__(self, env: Environment, period_ms: int, quiescent_ms: int, flush: Callable[[], None]) -> None:
        self._env = env
        self._period_ms = period_ms
        self._quiescent_ms = quiescent_ms
        self._flush = flush
        self._is_running = False
        self._end_ms = self._quiet_from_ms = 0

    def note(self) -> None:
        """Something has come."""
        now_ms = self._env.now_ms
        self._quiet_from_ms = now_ms
        if not self._is_running:
            self._is_running = True
            self._end_ms = now_ms + self._period_ms
            self._wait()

    def _wait(self) -> None:
        until_ms = min(self._end_ms, self._quiet_from_ms + self._quiescent_ms)
        self._env.after(until_ms - self._env.now_ms, self._look)

    def _look(self) -> None:
        if self._env.now_ms < min(self._end_ms, self._quiet_from_ms + self._quiescent_ms):
            self._wait()
            return
        self._is_running = False
        self._flush()


class Notifier:
    """Tells of members and of user events, each coalesced when both its periods are more than 0."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        settings = env.settings
        self._coalesces_members = min(settings.coalesce_period_ms, settings.quiescent_period_ms) > 0
        self._coalesces_users = min(settings.user_coalesce_period_ms, settings.user_quiescent_period_ms) > 0
        self._member_quantum = _Quantum(
            env, settings.coalesce_period_ms, settings.quiescent_period_ms, self._flush_members
        )
        self._user_quantum = _Quantum(
            env, settings.user_coalesce_period_ms, settings.user_quiescent_period_ms, self._flush_users
        )
        self._members: dict[str, MemberEvent] = {}
        self._told: dict[str, MemberEventKind] = {}
        self._users: dict[str, list[UserEvent]] = {}

    def member(self, event: MemberEvent) -> None:
        """A member has changed."""
        if not self._coalesces_members:
            self._env.effects.append(Notify(event))
            return
        self._env.effects.append(Keep(event))
        name = event.member.name
        self._members.pop(name, None)
        self._members[name] = event
        if len(self._members) > _PENDING_MAX:
            self._flush_members()
        self._member_quantum.note()

    def _flush_members(self) -> None:
        """The newest of each member, unless it is what was told of it last; an update is always news."""
        pending, self._members = self._members, {}
        for name, event in pending.items():
            if event.kind is self._told.get(name) and event.kind is not MemberEventKind.UPDATE:
                continue
            self._told[name] = event.kind
            if event.kind is MemberEventKind.REAP:
                del self._told[name]
            self._env.effects.append(Notify(event, is_kept=True))

    def user(self, event: UserEvent, *, coalesce: bool) -> None:
        """A user event has come; `coalesce` is its sender's leave to drop it for a newer one."""
        if not (self._coalesces_users and coalesce):
            self._env.effects.append(Notify(event))
            return
        newest = self._users.setdefault(event.name, [])
        if newest and newest[0].lamport_time < event.lamport_time:
            newest.clear()
        if not newest or newest[0].lamport_time == event.lamport_time:
            newest.append(event)
        if len(self._users) > _PENDING_MAX:
            self._flush_users()
        self._user_quantum.note()

    def _flush_users(self) -> None:
        pending, self._users = self._users, {}
        for events in pending.values():
            self._env.effects.extend(Notify(event) for event in events)
