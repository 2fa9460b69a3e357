"""An archive on its way out, as `contracts.interface.ArchiveStream`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable


class Pieces:
    """The pieces of a generator, and what must be done when nobody wants them any more, be it before the first."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], close: Callable[[], Awaitable[None]]) -> None:
        self._pieces = pieces
        self._close = close
        self._closed = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Let go of what the pieces come from. Idempotent."""
        if not self._closed:
            self._closed = True
            try:
                await self._pieces.aclose()
            finally:
                await self._close()
