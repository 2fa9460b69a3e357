"""Keys as locks read and write them: consistently, with the flags that tell whose they are."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

from consul_kernel.cli.client import AgentClient, AgentError

WAIT_S = 15
"""How long one blocking read waits, but for half of the time in which the agent must answer."""
RETRY_S = 1.0
"""After a key was refused though nobody has it, which is a lock delay."""


class LockConflictError(AgentError):
    """The key is there and is none of ours."""


class LockInUseError(AgentError):
    """Somebody else holds it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One key."""

    key: str
    value: bytes
    flags: int
    session: str
    modify_index: int


class Pairs:
    """Reads and writes of keys that bear certain flags."""

    def __init__(self, client: AgentClient, flags: int) -> None:
        self._client = client
        self._flags = flags

    def get(self, key: str, index: int = 0, wait_s: float = WAIT_S) -> tuple[int, Pair | None]:
        """A key and its index; with an index, once it is another one, or the wait is over."""
        index, found = self._read(key, {}, index, wait_s)
        return index, found[0] if found else None

    def under(self, prefix: str, index: int = 0, wait_s: float = WAIT_S) -> tuple[int, list[Pair]]:
        """All keys under a prefix; as `get`."""
        return self._read(prefix, {"recurse": ""}, index, wait_s)

    def _read(self, path: str, query: dict[str, str | None], index: int, wait_s: float) -> tuple[int, list[Pair]]:
        query["consistent"] = ""
        if index:
            wait_s = min(wait_s, self._client.timeout_s / 2)
            query |= {"index": str(index), "wait": f"{max(int(wait_s * 1000), 1)}ms"}
        answer = self._client.get(f"/v1/kv/{path}", query, allow_missing=True)
        documents = answer.json() if answer.status == 200 else []
        return answer.index, [
            Pair(
                key=document["Key"],
                value=base64.b64decode(document["Value"] or ""),
                flags=document["Flags"],
                session=document.get("Session", ""),
                modify_index=document["ModifyIndex"],
            )
            for document in documents
        ]

    def write(self, key: str, value: bytes, *, cas: int | None = None, acquire: str = "", release: str = "") -> bool:
        """Write a key on a condition; whether it held."""
        query: dict[str, str | None] = {
            "flags": str(self._flags),
            "cas": None if cas is None else str(cas),
            "acquire": acquire or None,
            "release": release or None,
        }
        return bool(self._client.put(f"/v1/kv/{key}", query, value).json())

    def delete(self, key: str, *, cas: int | None = None) -> bool:
        """Delete a key, if it has this index; whether that held."""
        return bool(self._client.delete(f"/v1/kv/{key}", {"cas": None if cas is None else str(cas)}).json())

    def require_ours(self, pair: Pair | None, what: str) -> None:
        """LockConflictError for a key with other flags."""
        if pair is not None and pair.flags != self._flags:
            raise LockConflictError(f"Existing key does not match {what} use")


class Deadline:
    """The time until which something is tried; never, when it is None."""

    def __init__(self, seconds: float | None) -> None:
        self._until_s = None if seconds is None else time.monotonic() + seconds

    def remaining_s(self, most_s: float) -> float:
        """What is left, at most so much; 0 when it is over."""
        if self._until_s is None:
            return most_s
        return max(min(self._until_s - time.monotonic(), most_s), 0.0)
