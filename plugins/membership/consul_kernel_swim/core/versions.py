"""Whether the protocol versions of two pools go together."""

from __future__ import annotations

from typing import Final

VERSION_BYTES: Final = 6
_PROTOCOL, _DELEGATE = 0, 3


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
