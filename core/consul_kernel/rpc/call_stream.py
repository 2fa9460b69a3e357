"""One net/rpc stream, seen from the calling side: a call, its answer, the next call."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from consul_kernel.contracts.consensus import LogPosition
from consul_kernel.contracts.errors import RpcError, StreamClosedError, TransportError
from consul_kernel.structs.methods import Method

from .errors import CALL_PREFIX, RpcTransportError, WireError
from .latest import LatestReplies
from .wire import MessageReader, ResponseHeader, decode, encode_request
from .yamux_stream import YamuxStream

READ_BYTES = 256 * 1024
CHECK_PEER_AFTER_MS = 3_000
"""A call that takes longer makes sure that the peer is there, and again each time that it has taken twice as long: a
host that has vanished sends no word of it."""


class CallStream:
    """Calls over one yamux stream, one after the other, as net/rpc serves them."""

    __slots__ = ("_header", "_latest", "_messages", "_patience", "_sequence", "stream")

    def __init__(self, stream: YamuxStream, reply_limit: int, latest: LatestReplies) -> None:
        self.stream = stream
        self._latest = latest
        self._messages = MessageReader(reply_limit)
        self._sequence = 0
        self._header = ResponseHeader()

    @property
    def is_reusable(self) -> bool:
        """Whether another call can be made on it."""
        return self.stream.is_usable and self._messages.is_empty

    @property
    def applied(self) -> LogPosition | None:
        """How far the server had applied the log when it answered the last call, where it said so."""
        header = self._header
        return LogPosition(header.applied_index, header.applied_term) if header.applied_index else None

    async def call(self, method: Method[Any, Any], request: Any, timeout_ms: float) -> Any:
        """The reply. RpcError with the remote text, RpcTransportError when there was no answer.

        After anything but a reply the stream is closed: by reset where the other end may still be at work.
        """
        self._sequence += 1
        # A timer that resets the stream costs a fraction of `asyncio.timeout`, and ends the wait just as well.
        stream, loop = self.stream, asyncio.get_running_loop()
        first_ms = min(timeout_ms, CHECK_PEER_AFTER_MS)
        self._patience = loop.call_later(first_ms / 1000, self._grow_impatient, first_ms, timeout_ms)
        try:
            stream.write(encode_request(self._sequence, method.name, request))
            await stream.drain()
            header: ResponseHeader = decode(ResponseHeader, await self._next())
            body = await self._next()
            self._header = header
            if header.seq != self._sequence:
                raise WireError(f"answer {header.seq} to call {self._sequence}")
            reply = None if header.error else self._latest.decoded(method.name, body, partial(decode, method.reply))
        except (TransportError, WireError) as error:
            self.stream.reset()
            text = "EOF" if isinstance(error, StreamClosedError) else str(error)
            raise RpcTransportError(f"{CALL_PREFIX}{text}") from error
        except asyncio.CancelledError:
            self.stream.reset()
            raise
        finally:
            self._patience.cancel()
        if header.error:
            self.stream.close()
            raise RpcError(header.error)
        return reply

    def _grow_impatient(self, waited_ms: float, timeout_ms: float) -> None:
        stream = self.stream
        if waited_ms >= timeout_ms:
            stream.reset(f"no answer from {stream.peer} within {timeout_ms:.0f} ms")
            return
        stream.check_peer()
        more_ms = min(waited_ms, timeout_ms - waited_ms)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(more_ms / 1000, self._grow_impatient, waited_ms + more_ms, timeout_ms)

    async def _next(self) -> bytes:
        while (message := self._messages.next()) is None:
            data = await self.stream.read(READ_BYTES)
            if not data:
                raise StreamClosedError("EOF")
            self._messages.feed(data)
        return message
