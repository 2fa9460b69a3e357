"""A semaphore: a lock that several may hold (Consul's documentation: "Semaphore"; its Go client, api/semaphore.go).

Each contender holds a key `PREFIX/SESSION`, which goes with its session; the key `PREFIX/.lock` lists those that have a
slot, and is changed by check-and-set. A holder whose own key has lost its session is dead, and its slot is free.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from consul_kernel.cli.client import AgentClient, AgentError

from .pairs import WAIT_S, Deadline, LockInUseError, Pair, Pairs

FLAGS = 0xE0F69A2BAA414DE0
"""What Consul's Go client marks its semaphores with, so that ours and its are the same ones."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the keys under the prefix say: who holds a slot and lives, and the index of the list."""

    holders: frozenset[str]
    modify_index: int


class Semaphore:
    """Slots under a prefix. Everything here raises AgentError."""

    def __init__(self, client: AgentClient, prefix: str, key: str, limit: int, session: str) -> None:
        self._pairs = Pairs(client, FLAGS)
        self._prefix = prefix
        self._key = key
        self._limit = limit
        self._session = session

    @property
    def _contender(self) -> str:
        return f"{self._prefix}/{self._session}"

    def acquire(self, deadline: Deadline) -> bool:
        """Wait for a slot and take it; False when the time ran out."""
        if not self._pairs.write(self._contender, b"", acquire=self._session):
            raise AgentError("failed to make contender entry")
        index = 0
        while True:
            index, pairs = self._pairs.under(f"{self._prefix}/", index, deadline.remaining_s(WAIT_S))
            state = self._state_of(pairs)
            if len(state.holders) < self._limit:
                if self._write(state.holders | {self._session}, state.modify_index):
                    return True
                index = 0
            if deadline.remaining_s(WAIT_S) <= 0:
                return False

    def still_held(self, index: int) -> tuple[int, bool]:
        """Whether the slot is held still, with an index for the next time; waits a while for a change of that index."""
        index, pairs = self._pairs.under(f"{self._prefix}/", index)
        return index, self._session in self._state_of(pairs).holders

    def release(self) -> None:
        """Give the slot back."""
        while True:
            state = self._state_of(self._pairs.under(f"{self._prefix}/")[1])
            if self._session not in state.holders:
                raise AgentError("Semaphore not held")
            if self._write(state.holders - {self._session}, state.modify_index):
                break
        self._pairs.delete(self._contender)

    def clean_up(self) -> None:
        """Remove the list. LockInUseError while somebody is in it."""
        state = self._state_of(self._pairs.under(f"{self._prefix}/")[1])
        if not state.modify_index:
            return
        if state.holders or not self._pairs.delete(self._key, cas=state.modify_index):
            raise LockInUseError("Semaphore in use")

    def _write(self, holders: frozenset[str], modify_index: int) -> bool:
        document = {"Limit": self._limit, "Holders": dict.fromkeys(sorted(holders), True)}
        return self._pairs.write(self._key, json.dumps(document).encode(), cas=modify_index)

    def _state_of(self, pairs: list[Pair]) -> _State:
        listed = next((pair for pair in pairs if pair.key == self._key), None)
        if listed is None:
            return _State(frozenset(), 0)
        self._pairs.require_ours(listed, "semaphore")
        try:
            document = json.loads(listed.value)
            limit, holders = int(document["Limit"]), frozenset(document["Holders"] or ())
        except (ValueError, KeyError, TypeError) as error:
            raise AgentError(f"{self._key} holds no semaphore: {error}") from error
        if limit != self._limit:
            raise AgentError(f"Semaphore limit conflict (lock: {limit}, local: {self._limit})")
        alive = {pair.session for pair in pairs if pair.session}
        return _State(holders & alive, listed.modify_index)
