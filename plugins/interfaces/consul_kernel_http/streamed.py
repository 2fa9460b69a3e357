"""An answer whose length is not known when it begins: its pieces are sent as they come, and none is kept."""

from __future__ import annotations

import logging
from contextlib import aclosing

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.interface import ArchiveStream

from .answer import Answer, write_in_time
from .request import Request

logger = logging.getLogger(__name__)

_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class StreamedAnswer(Answer):
    """Sent in chunks; to a client of HTTP/1.0, until the end of the connection.

    Where the pieces break off the connection is cut, so that the client cannot take what it has for the whole.
    """

    __slots__ = ("_pieces",)

    def __init__(self, status: int, template: bytes, head: bytes, pieces: ArchiveStream) -> None:
        super().__init__(status, template, head)
        self._pieces = pieces

    def keeps_alive(self, request: Request) -> bool:
        """Not where the end of the connection is the end of the answer."""
        return super().keeps_alive(request) and not request.is_http_1_0

    def send(self, request: Request) -> bool:
        """It takes its time."""
        return True

    async def sent(self, request: Request) -> None:
        """Write the answer. Raises ConnectionError when the client has gone, or the pieces have broken off."""
        in_chunks = not request.is_http_1_0
        async with aclosing(self._pieces) as pieces:
            line, end = self.first_lines(request)
            coding = _CHUNKED if in_chunks else b""
            await write_in_time(request, b"".join((line, self._template, self.own_head, coding, end)))
            try:
                async for piece in pieces:
                    await write_in_time(request, b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
                    del piece  # the next one may be long in coming
            except ConsulKernelError as error:
                logger.warning("an answer to %s broke off: %s", request.remote, error)
                request.connection.abort()
                raise ConnectionResetError("the answer broke off") from None
            if in_chunks:
                await write_in_time(request, _LAST_CHUNK)
