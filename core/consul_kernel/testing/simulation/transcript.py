"""The transcript of a run: everything that members send and report, in order.

Hashing is always on: two runs have the same transcript when their digests are equal. A file may have the lines in text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_BATCH = 512


class Transcript:
    """Lines of (time, who, what, data)."""

    def __init__(self) -> None:
        self.lines = 0
        self._file: TextIO | None = None
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
        if self._file is not None:
            self._file.write(f"{now_ms} {who} {what.decode()} {data!r}\n")

    @contextmanager
    def written_to(self, path: str) -> Iterator[None]:
        """Write the lines of this block to a file; nothing where `path` is empty. Raises OSError."""
        if not path:
            yield
            return
        with Path(path).open("w") as self._file:
            try:
                yield
            finally:
                self._file = None

    def digest(self) -> str:
        """The transcript so far, in 32 hex digits."""
        self._hash.update(b"".join(self._batch))
        self._batch.clear()
        return self._hash.hexdigest()
