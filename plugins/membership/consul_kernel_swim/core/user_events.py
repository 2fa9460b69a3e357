"""User events: named messages that spread to everybody, with their clock and the ring of those seen lately."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from consul_kernel.contracts.membership import UserEvent

from .coalescing import Notifier
from .courier import Courier
from .environment import Environment
from .lamport import LamportClock
from .messages import USER_BYTE
from .recent import RecentRing
from .roster import Roster
from .serf_messages import UserEventMessage

_REMEMBERED_BYTES_MAX: Final = 1 << 20
"""Names and payloads in the ring, which travels in every push/pull; 512 events of 512 bytes are a quarter of this."""
_ITEM_BYTES: Final = 64


def _hash_of(lamport_time: int, item: tuple[str, bytes]) -> int:
    name = item[0].encode()
    header = struct.pack(">QI", lamport_time, len(name))
    return int.from_bytes(blake2b(header + name + item[1], digest_size=8).digest(), "big")


class UserEvents:
    """Sends, receives, and remembers for those who missed something."""

    def __init__(self, env: Environment, courier: Courier, roster: Roster, notifier: Notifier) -> None:
        self._env = env
        self._courier = courier
        self._notifier = notifier
        self.clock = LamportClock()
        self.queue = courier.add_queue(lambda: len(roster))
        self._recent: RecentRing[tuple[str, bytes]] = RecentRing(_REMEMBERED_BYTES_MAX)

    @property
    def minimum_time(self) -> int:
        """Events of an earlier Lamport time are taken for older than this agent."""
        return self._recent.minimum_time

    def resume(self, last_seen: int) -> None:
        """Go on after an earlier life: events up to this time are no news."""
        self.clock.witness(last_seen)
        self._recent.minimum_time = last_seen + 1 if last_seen else 0

    def send(self, name: str, payload: bytes, *, coalesce: bool) -> str | None:
        """Spread a named message, to this agent as well; why not, or None."""
        limit = self._env.settings.user_event_bytes_max
        if len(name.encode()) + len(payload) > limit:
            return f"user event exceeds configured limit of {limit} bytes before encoding"
        event = UserEventMessage(self.clock.time, name, payload, coalesce)
        message = event.encode()
        if len(message) > limit:
            return f"user event exceeds configured limit of {limit} bytes after encoding"
        if not self._courier.fits(USER_BYTE + message):
            return f"a user event of {len(message)} bytes does not fit into a packet"
        self.clock.stamp()
        self.admit(event)
        self._courier.broadcast(self.queue, USER_BYTE + message)
        return None

    def receive_message(self, event: UserEventMessage, message: bytes) -> None:
        """Deliver an event from the wire and pass it on, as the identical bytes, when it is news."""
        if self.admit(event):
            self._courier.broadcast(self.queue, USER_BYTE + message)

    def admit(self, event: UserEventMessage) -> bool:
        """Deliver an event; whether it is news."""
        self.clock.witness(event.lamport_time)
        item = (event.name, event.payload)
        size = len(event.name) + len(event.payload) + _ITEM_BYTES
        if not self._recent.admit(event.lamport_time, self.clock.time, item, size):
            return False
        self._notifier.user(UserEvent(event.name, event.payload, event.lamport_time), coalesce=event.coalesce)
        return True

    # --- push/pull ---

    def hash_since(self, lamport_time: int) -> int:
        """64 bits that two agents have in common which remember the same events from this time on."""
        return self._recent.hash_since(lamport_time, _hash_of)

    def remembered(self) -> dict[int, list[tuple[str, bytes]]]:
        """Names and payloads by Lamport time."""
        return self._recent.items()

    def merge(self, events: Mapping[int, Sequence[tuple[str, bytes]]], *, skip_up_to: int) -> None:
        """Deliver what a peer remembers and we have missed, except what is older than `skip_up_to`."""
        self._recent.minimum_time = max(self._recent.minimum_time, skip_up_to)
        for lamport_time, items in events.items():
            for name, payload in items:
                self.admit(UserEventMessage(lamport_time, name, payload))
