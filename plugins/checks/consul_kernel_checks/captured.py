"""What is kept of the output of something that may say a lot: its end."""

from __future__ import annotations


class Captured:
    """The last `limit` bytes of what was added, and how much that was in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take more into account; what came long before is dropped."""
        self.total += len(data)
        self._kept += data[-self._limit :]
        del self._kept[: -self._limit]

    def text(self) -> str:
        """What was kept. Octets that are no UTF-8 are replaced."""
        return self._kept.decode("utf-8", "replace")

    def noted(self) -> str:
        """What was kept, with Consul's note where that is not all."""
        if self.total <= self._limit:
            return self.text()
        return f"Captured {self._limit} of {self.total} bytes\n...\n{self.text()}"
