"""Network coordinates on the wire: ours rides on every ack over packets, and those of others come back so.

An ack's payload is the version byte 1 and a map of Go's fields, as Serf writes it.
"""

from __future__ import annotations

import random
from typing import Final

import msgspec

from consul_kernel.structs.coordinate import Coordinate

from .vivaldi import Vivaldi
from .wire import pack

_VERSION: Final = b"\x01"
_DECODER: Final = msgspec.msgpack.Decoder(Coordinate)


def encode_coordinate(coordinate: Coordinate) -> bytes:
    """The payload of an ack."""
    return _VERSION + pack(
        {
            "Adjustment": coordinate.adjustment,
            "Error": coordinate.error,
            "Height": coordinate.height,
            "Vec": coordinate.vec,
        }
    )


def decode_coordinate(payload: bytes) -> Coordinate | None:
    """The coordinate in an ack's payload, as it stands there; None for another version or what cannot be read."""
    if payload[:1] != _VERSION:
        return None
    try:
        return _DECODER.decode(payload[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Coordinates:
    """Our coordinate, and the last one of each member whose ack moved it. With `kept` False there are none."""

    def __init__(self, rng: random.Random, own_name: str, *, kept: bool, members_max: int) -> None:
        self._vivaldi = Vivaldi(rng)
        self._own_name = own_name
        self._kept = kept
        self._members_max = members_max
        self._cache: dict[str, Coordinate] = {}
        self._payload: bytes | None = encode_coordinate(self._vivaldi.coordinate) if kept else None

    @property
    def ack_payload(self) -> bytes | None:
        """What goes with our acks."""
        return self._payload

    @property
    def resets(self) -> int:
        """How often a measurement led to no valid coordinate, so that we began anew."""
        return self._vivaldi.resets

    def of(self, name: str) -> Coordinate | None:
        """Where a member stands, this agent when `name` is ""; None when that is not known."""
        if not self._kept:
            return None
        if name in ("", self._own_name):
            return self._vivaldi.coordinate
        return self._cache.get(name)

    def measured(self, name: str, payload: bytes | None, round_trip_us: int) -> bool:
        """A member has answered a probe directly; False when its answer could not be used."""
        if not self._kept or not payload:
            return True
        if name not in self._cache and len(self._cache) >= self._members_max:
            return False
        other = decode_coordinate(payload)
        if other is None or not self._vivaldi.update(name, other, round_trip_us / 1e6):
            return False
        self._cache[name] = other
        self._payload = encode_coordinate(self._vivaldi.coordinate)
        return True

    def forget(self, name: str) -> None:
        """A member was reaped."""
        self._cache.pop(name, None)
        self._vivaldi.forget(name)
