"""The network coordinate that rides on every ack over packets.

Source: Dabek, Cox, Kaashoek, Morris, "Vivaldi", 2004, in Serf's form: eight dimensions, an error estimate, a height
and an adjustment, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .wire import pack

DIMENSIONS: Final = 8
_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place in the latency space. The defaults are Vivaldi's start: the origin, with the largest error."""

    vector: tuple[float, ...] = (0.0,) * DIMENSIONS
    error: float = 1.5
    adjustment: float = 0.0
    height: float = 10e-6

    def encode(self) -> bytes:
        """Serf's ack payload."""
        return _VERSION + pack(
            {"Adjustment": self.adjustment, "Error": self.error, "Height": self.height, "Vec": list(self.vector)}
        )


START_PAYLOAD: Final = Coordinate().encode()
"""This agent stays at the start coordinate, which every peer accepts: its error says that it knows nothing yet."""
