"""An answer whose length is not known when it begins: its pieces are sent as they come, and none is kept."""

from __future__ import annotations

import logging
from contextlib import aclosing

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.interface import ArchiveStream

from .answer import Answer, write_in_time

logger = logging.getLogger(__name__)

_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class StreamedAnswer(Answer):
    """Sent in chunks; to a client of HTTP/1.0, until the end of the connection.

    Where the pieces break off the connection is cut, so that the client cannot take what it has for the whole.
    """

    def __init__(self, status: int, template: bytes, head: bytes, pieces: ArchiveStream) -> None:
        super().__init__(status, template, head)
        self._pieces = pieces

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Write the answer. Raises ConnectionError when the client has gone, or the pieces have broken off."""
        in_chunks = request.version >= (1, 1)
        if not in_chunks:
            self._stays_open = False
        async with aclosing(self._pieces) as pieces:
            line, connection = self.first_lines(request)
            end = _CHUNKED if in_chunks else b"\r\n"
            await write_in_time(request, b"".join((line, self._template, self._own_head, connection, end)))
            try:
                async for piece in pieces:
                    await write_in_time(request, b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
                    del piece  # the next one may be long in coming
            except ConsulKernelError as error:
                logger.warning("an answer to %s broke off: %s", request.remote, error)
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("the answer broke off") from None
            if in_chunks:
                await write_in_time(request, _LAST_CHUNK)
        return request.writer
