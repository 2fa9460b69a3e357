"""The transcript of a run: everything that members send and report, in order.

Hashing is always on: two runs have the same transcript when their digests are equal. A sink gets the lines in text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

_BATCH = 512


class Transcript:
    """Lines of (time, who, what, data)."""

    def __init__(self, sink: Callable[[str], object] | None = None) -> None:
        self.lines = 0
        self.sink = sink
        self._hash = hashlib.blake2b(digest_size=16)
        self._batch: list[bytes] = []

    def note(self, now_ms: int, who: str, what: bytes, data: bytes = b"") -> None:
        """Write one line. `who` and `what` say where the line belongs, `data` is hashed as it is."""
        self.lines += 1
        batch = self._batch
        batch.append(b"%d %s %b %d " % (now_ms, who.encode(), what, len(data)))
        batch.append(data)
        if len(batch) >= _BATCH:
            self._hash.update(b"".join(batch))
            batch.clear()
        if self.sink is not None:
            self.sink(f"{now_ms} {who} {what.decode()} {data!r}")

    def digest(self) -> str:
        """The transcript so far, in 32 hex digits."""
        self._hash.update(b"".join(self._batch))
        self._batch.clear()
        return self._hash.hexdigest()
