"""The snapshot of known members, in Serf's text format, so that a restarted agent finds its pool again.

One record per line, appended as things happen: `alive: NAME HOST:PORT`, `not-alive: NAME`, `clock: N`,
`event-clock: N`, `query-clock: N`, `leave`. When the file has grown, it is written anew beside and renamed. What is
behind the last line's end was torn by a crash, and is dropped: half of an address may look like another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind
from consul_kernel.contracts.transport import Address

_COMPACT_BYTES_MIN: Final = 128 * 1024
_BYTES_PER_MEMBER: Final = 128
_READ_BYTES_MAX: Final = 64 << 20
_PENDING_MAX: Final = 4_096
_CLOCKS: Final = ("clock", "event-clock", "query-clock")

Clocks = tuple[int, int, int]


@dataclass(slots=True)
class Recalled:
    """What a snapshot says: who was alive, and the last Lamport times of members, events and queries.

    With `keeps_left`, a leave makes nothing forgotten (Consul's `rejoin_after_leave`).
    """

    alive: dict[str, Address] = field(default_factory=dict)
    clocks: Clocks = (0, 0, 0)
    keeps_left: bool = False

    def apply(self, line: str) -> None:
        """Take one record in. A line that makes no sense is skipped: the file may end in half of one."""
        kind, _, rest = line.partition(": ")
        if kind == "alive":
            name, _, text = rest.rpartition(" ")
            address = _parse_address(text)
            if name and address is not None:
                self.alive[name] = address
        elif kind == "not-alive":
            self.alive.pop(rest, None)
        elif kind in _CLOCKS and rest.isascii() and rest.isdigit() and len(rest) < 19:
            clocks = list(self.clocks)
            clocks[_CLOCKS.index(kind)] = int(rest)
            self.clocks = (clocks[0], clocks[1], clocks[2])
        elif line == "leave" and not self.keeps_left:
            self.alive.clear()
            self.clocks = (0, 0, 0)

    def lines(self) -> list[str]:
        """The shortest snapshot that says the same."""
        members = [_alive_line(name, address) for name, address in self.alive.items()]
        return members + [f"{name}: {time}" for name, time in zip(_CLOCKS, self.clocks, strict=True) if time]


def _alive_line(name: str, address: Address) -> str:
    return f"alive: {name} {address}"


def _parse_address(text: str) -> Address | None:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        return None
    return Address(host, number) if 0 < number <= 0xFFFF else None


def read_snapshot(path: Path, *, keeps_left: bool = False) -> Recalled:
    """What the file says; empty where there is none. Raises OSError when it cannot be read."""
    recalled = Recalled(keeps_left=keeps_left)
    if path.exists():
        with path.open("rb") as file:
            *lines, _ = file.read(_READ_BYTES_MAX).decode(errors="replace").split("\n")
        for line in lines:
            recalled.apply(line)
    return recalled


class SnapshotLog:
    """Notes what happens and says what to write. `wake` is called when there is something to write."""

    def __init__(self, path: Path, recalled: Recalled, wake: Callable[[], None]) -> None:
        self._path = path
        self._state = recalled
        self._wake = wake
        self._pending: list[str] = []
        self._rewrite = True
        self._failed = False
        self._size = 0
        self._left = False

    def note_event(self, event: MemberEvent) -> None:
        """A member came, or is gone."""
        member = event.member
        if not member.name.isprintable():
            return
        if event.kind is MemberEventKind.JOIN:
            self._note(_alive_line(member.name, member.address))
        elif event.kind is not MemberEventKind.UPDATE and member.name in self._state.alive:
            self._note(f"not-alive: {member.name}")

    def note_clocks(self, clocks: Clocks) -> None:
        """The last Lamport times seen; only what is new is written."""
        if clocks == self._state.clocks:
            return
        for name, time, known in zip(_CLOCKS, clocks, self._state.clocks, strict=True):
            if time != known:
                self._note(f"{name}: {time}")

    def note_leave(self) -> None:
        """This agent leaves on purpose: a later start does not rejoin, unless told to; what follows is not noted."""
        self._note("leave")
        self._left = True

    def _note(self, line: str) -> None:
        if self._left:
            return
        self._state.apply(line)
        if len(self._pending) >= _PENDING_MAX:
            # The disk is slow: the state says the same in fewer lines.
            self._pending.clear()
            self._rewrite = True
        self._pending.append(line)
        self._wake()

    def take(self) -> Callable[[], None] | None:
        """The write that is due, to be run in a thread; one at a time. It may raise OSError."""
        if not self._pending and not self._failed:
            return None
        limit = max(_COMPACT_BYTES_MIN, 2 * _BYTES_PER_MEMBER * len(self._state.alive))
        rewrite = self._rewrite or self._size > limit
        lines = self._state.lines() + ["leave"] * self._left if rewrite else self._pending
        text = "".join(f"{line}\n" for line in lines).encode()
        self._pending.clear()
        self._rewrite = self._failed = False
        self._size = len(text) if rewrite else self._size + len(text)
        return (lambda: _replace(self._path, text)) if rewrite else (lambda: _append(self._path, text))

    def retry(self) -> None:
        """The last write failed: the next one, which is due also if nothing more happens, writes everything."""
        self._rewrite = self._failed = True
        self._wake()


def _append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def _replace(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".compact")
    with beside.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
