"""Whether the protocol versions of two pools go together, and which exchange of states a node speaks."""

from __future__ import annotations

from typing import Final

VERSION_BYTES: Final = 6
DIGESTS: Final = bytes((1,))
"""A seventh byte of the versions, unknown to memberlist: which exchange by digests the node speaks."""
_EXCHANGE: Final = 6
_PROTOCOL, _DELEGATE = 0, 3


def speaks_digests(versions: bytes) -> bool:
    """Whether a node can be asked for an exchange by digests."""
    return len(versions) > _EXCHANGE and versions[_EXCHANGE] > 0


def without_exchange(versions: bytes) -> bytes:
    """What memberlist knows of these versions, and passes on."""
    return versions[:VERSION_BYTES]


class SpokenVersions:
    """The versions of all nodes of two pools, given one by one; most speak the same.

    The ranges of all alive nodes must have a version in common with what every node speaks now.
    """

    def __init__(self) -> None:
        self._speakers: dict[tuple[bytes, bool], str] = {}

    def add(self, name: str, versions: bytes, *, is_alive: bool) -> None:
        """One node. Without its six bytes it says nothing of its versions."""
        if (versions, is_alive) not in self._speakers and len(versions) >= VERSION_BYTES:
            self._speakers[versions, is_alive] = name

    def incompatibility(self) -> str | None:
        """Why the pools do not go together, or None."""
        for at, what in ((_PROTOCOL, "protocol"), (_DELEGATE, "delegate protocol")):
            lowest = max((versions[at] for versions, alive in self._speakers if alive), default=0)
            highest = min((versions[at + 1] for versions, alive in self._speakers if alive), default=255)
            for (versions, _), name in self._speakers.items():
                current = versions[at + 2]
                if not lowest <= current <= highest:
                    return f"Node '{name}' {what} version ({current}) is incompatible: [{lowest}, {highest}]"
        return None
