"""A lock: one key, held by one session (Consul's documentation: "Leader Election"; its Go client, api/lock.go)."""

from __future__ import annotations

import time

from consul_kernel.cli.client import AgentClient, AgentError

from .pairs import RETRY_S, WAIT_S, Deadline, LockInUseError, Pair, Pairs

FLAGS = 0x2DDCCBC058A50C18
"""What Consul's Go client marks its locks with, so that ours and its are the same ones."""


class Lock:
    """The key `PREFIX/.lock`. Everything here raises AgentError."""

    def __init__(self, client: AgentClient, key: str, session: str) -> None:
        self._pairs = Pairs(client, FLAGS)
        self._key = key
        self._session = session

    def acquire(self, deadline: Deadline) -> bool:
        """Wait for the lock and take it; False when the time ran out."""
        index = 0
        while True:
            wait_s = deadline.remaining_s(WAIT_S)
            index, pair = self._pairs.get(self._key, index, wait_s)
            self._pairs.require_ours(pair, "lock")
            if pair is None or pair.session in ("", self._session):
                if self._pairs.write(self._key, b"", acquire=self._session):
                    return True
                index = 0
                if not self._is_held():
                    time.sleep(deadline.remaining_s(RETRY_S))
            if deadline.remaining_s(WAIT_S) <= 0:
                return False

    def _is_held(self) -> bool:
        pair = self._pairs.get(self._key)[1]
        return pair is not None and bool(pair.session)

    def still_held(self, index: int) -> tuple[int, bool]:
        """Whether the lock is held still, with an index for the next time; waits a while for a change of that index."""
        index, pair = self._pairs.get(self._key, index)
        return index, self._is_ours(pair)

    def release(self) -> None:
        """Let go. AgentError when it is not held."""
        if not self._pairs.write(self._key, b"", release=self._session):
            raise AgentError("Lock not held")

    def clean_up(self) -> None:
        """Remove the key. LockInUseError when somebody has it by now."""
        pair = self._pairs.get(self._key)[1]
        if pair is None:
            return
        self._pairs.require_ours(pair, "lock")
        if pair.session or not self._pairs.delete(self._key, cas=pair.modify_index):
            raise LockInUseError("Lock in use")

    def _is_ours(self, pair: Pair | None) -> bool:
        return pair is not None and pair.session == self._session
