"""One client's connection: requests served one after the other, answers out, and how it ends.

What a connection of `aiohttp.web` does for each request (two tasks, a writer, a timer) costs more than most answers,
so ours are Protocols of their own upon aiohttp's parser. A request whose answer needs no waiting is served where its
octets come in, without a task; a connection that rests has nothing but its parser.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http_exceptions import HttpProcessingError

from .answer import Answer
from .reading import RequestReader
from .refusals import TOO_MANY_CONNECTIONS, refusal_of, refuse
from .request_body import skip_body

if TYPE_CHECKING:
    from .connections import Connections
    from .request import Request

logger = logging.getLogger(__name__)

Making = Coroutine[Any, Any, Answer]

_CLOSING_S = 30.0
"""How long a client may take to read the rest before a connection that is closed is cut."""
_PARTING_S = 0.5
"""How long a client that was refused may go on sending, so that no reset overtakes the refusal."""
NEVER = math.inf


@coroutine
def _resumed(making: Making) -> Generator[Any, None, Answer]:
    """Goes on with what has been begun without a task."""
    answer: Answer = yield from making
    return answer


class Connection(RequestReader):
    """The half that serves and writes; the other is in `reading`."""

    __slots__ = ("_drained", "_writing_is_paused", "client")

    def __init__(self, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(connections, loop)
        self.client = ""
        """The client's IP address; "" on a Unix socket."""
        self._drained: asyncio.Future[None] | None = None
        self._writing_is_paused = False

    # --- asyncio's callbacks ---

    def connection_made(self, made: asyncio.BaseTransport) -> None:
        """Take the client in, or refuse it."""
        transport = cast("asyncio.Transport", made)  # uvloop's transports are none by inheritance
        peer = transport.get_extra_info("peername")
        client = peer[0] if isinstance(peer, tuple) else ""
        if not self._connections.admit(self, client):
            self._is_ending = True
            refuse(transport, TOO_MANY_CONNECTIONS)
            return
        self.client = client
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if client and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._rest()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget whatever the client has asked for."""
        self._transport = None
        self._is_ending = True
        self._queue.clear()
        self._unparsed = b""
        self._connections.leave(self)
        lost = ConnectionResetError("the client has gone")
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(lost)
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(lost)
        if self._task is not None:
            self._task.cancel()

    def eof_received(self) -> None:
        """A client that has closed its side waits for nothing: so blocking queries end at once. Closes the rest."""
        self._is_ending = True
        self.deadline_s = self._loop.time() + _CLOSING_S
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than answers are made."""
        self._writing_is_paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writing_is_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._task is None and not self._is_ending:
            self._take_up()
            self._read_on()

    # --- serving ---

    def _take_up(self) -> None:
        """Serve what waits, one after the other: without a task where nothing is to be waited for."""
        queue = self._queue
        while queue:
            if self._writing_is_paused:
                self.deadline_s = self._loop.time() + _CLOSING_S
                return
            request = queue.pop(0)
            if isinstance(request, HttpProcessingError):
                self._refuse(request)
                return
            if not self._serve_at_once(request):
                return
        self._rest()

    def _serve_at_once(self, request: Request) -> bool:
        """Whether that was possible, and the next request may be served."""
        making = self._connections.handle(request)
        try:
            making.send(None)  # as a task would, up to where it has to wait (`Request.in_task`)
        except StopIteration as made:
            answer: Answer = made.value
        except Exception:  # a fault of ours must not leave a connection that nobody serves
            logger.exception("a request of %s could not be answered", self.client or "a local client")
            self.abort()
            return False
        else:
            self.deadline_s = NEVER
            self._task = self._loop.create_task(self._serve(request, making))
            return False
        if answer.send(request) or not request.content.is_eof():
            self.deadline_s = NEVER
            self._task = self._loop.create_task(self._serve(request, answer))
            return False
        if self._connections.is_closing or not answer.keeps_alive(request):
            self.close()
            return False
        return True

    async def _serve(self, request: Request, making: Making | Answer) -> None:
        """Make and send an answer, or what is left of one."""
        try:
            if isinstance(making, Answer):
                answer = making
            else:
                answer = await _resumed(making)
                answer.send(request)
            await answer.sent(request)
            goes_on = answer.keeps_alive(request) and (request.content.is_eof() or await skip_body(request))
        except ConnectionError:
            goes_on = False
        except asyncio.CancelledError:
            self.close()
            raise
        except Exception:  # a fault of ours must not end the server
            logger.exception("an answer to %s could not be sent", self.client or "a local client")
            goes_on = False
        finally:
            self._task = None
        self._served(goes_on=goes_on)

    def _served(self, *, goes_on: bool) -> None:
        if self._is_ending:
            return
        if not goes_on or self._connections.is_closing:
            if self._body_arrives:
                self._part()
            else:
                self.close()
            return
        self._take_up()
        self._read_on()

    def _rest(self) -> None:
        """Nothing to do: until the next request, or the end of one that has begun to arrive."""
        connections = self._connections
        wait_s = connections.header_timeout_s if self._header_octets else connections.keepalive_timeout_s
        self.deadline_s = self._loop.time() + wait_s

    def _refuse(self, error: HttpProcessingError) -> None:
        """Answer what is not HTTP as Go's server does, and part: it is no reason for more than a debug line."""
        logger.debug("malformed request from %s: %s", self.client, error)
        if self._transport is not None:
            self._transport.write(refusal_of(error))
        self._part()

    def _part(self) -> None:
        """Send nothing more, and take no notice of what the client still sends: it may yet read why."""
        self._is_ending = True
        self.deadline_s = self._loop.time() + _PARTING_S
        transport = self._transport
        if transport is not None:
            transport.resume_reading()
            if transport.can_write_eof():
                transport.write_eof()

    # --- writing ---

    def write(self, octets: bytes, more: bytes = b"") -> bool:
        """Send these; whether the client should be waited for (`drained`). A client that has gone is sent nothing."""
        transport = self._transport
        if transport is None or self._is_ending:
            return True
        if more:
            transport.writelines((octets, more))
        else:
            transport.write(octets)
        return self._writing_is_paused

    async def drained(self, timeout_s: float) -> None:
        """Wait until the client has read most of what was sent. ConnectionError when it has gone.

        One that does not read is cut off.
        """
        if self._transport is None or self._is_ending:
            raise ConnectionResetError("the client has gone")
        if not self._writing_is_paused:
            return
        self._drained = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained
        except TimeoutError:
            self.abort()
            raise ConnectionResetError("the client does not read its answer") from None
        finally:
            self._drained = None

    # --- the end ---

    @property
    def is_busy(self) -> bool:
        """Whether a request is being served."""
        return self._task is not None

    def close(self) -> None:
        """Take in nothing more, send what was written, and end."""
        self._is_ending = True
        self.deadline_s = self._loop.time() + _CLOSING_S
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._is_ending = True
        if self._transport is not None:
            self._transport.abort()

    def cancel(self) -> None:
        """Give up the request that is being served, and end."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.close()

    def end_overdue(self) -> None:
        """The deadline is over."""
        if self._is_ending:
            self.abort()
        else:
            self.close()
