"""Exchanges over streams: those that the core asks for, and those that peers begin."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from consul_kernel.contracts.errors import CipherError, PeerProtocolError, TransportError
from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Stream

from .complaints import Complaints
from .core.events import Answer, Dial, DialFailed, Input, ReplyReceived, StreamReceived
from .core.messages import ErrorReply
from .framing import Framing

logger = logging.getLogger("consul_kernel.swim")

_STREAMS_MAX: Final = 128

UNREADABLE_ANSWER: Final = "the answer cannot be read ({}): does the other side have the same encryption key?"


class StreamExchanges:
    """`post` hands an input to the core, whose `Dial` and `Answer` come back here."""

    def __init__(
        self,
        context: MembershipContext,
        framing: Framing,
        timeout_ms: int,
        post: Callable[[Input], None],
        complaints: Complaints,
        counters: Counter[str],
    ) -> None:
        self._context = context
        self._framing = framing
        self._timeout_ms = timeout_ms
        self._post = post
        self._complaints = complaints
        self._counters = counters
        self._served: dict[int, asyncio.Future[bytes | None]] = {}
        self._last_served = 0

    async def dial(self, effect: Dial) -> None:
        """One exchange that the core asked for."""
        try:
            async with asyncio.timeout(effect.timeout_ms / 1000):
                stream = await self._context.transport.dial(effect.to, timeout_ms=effect.timeout_ms)
                try:
                    stream.write(await self._framing.seal(effect.request, dialling=True))
                    await stream.drain()
                    reply = await self._framing.receive(stream, served=False)
                finally:
                    stream.close()
            self._post(ReplyReceived(effect.dial_id, reply))
        except TimeoutError:
            self._post(DialFailed(effect.dial_id, f"no answer within {effect.timeout_ms} ms"))
        except CipherError as error:
            self._post(DialFailed(effect.dial_id, UNREADABLE_ANSWER.format(error)))
        except (TransportError, PeerProtocolError) as error:
            self._post(DialFailed(effect.dial_id, str(error) or type(error).__name__))
        except Exception as error:
            # Whoever asked waits for an outcome, whatever is wrong with a transport or a cipher.
            logger.exception("pool %s: a fault during the exchange with %s", self._context.pool, effect.to)
            self._post(DialFailed(effect.dial_id, f"{type(error).__name__}: {error}"))

    async def serve(self, stream: Stream) -> None:
        """One stream that a peer opened; bounded in number and in time."""
        if len(self._served) >= _STREAMS_MAX:
            self._counters["streams_over_limit"] += 1
            return
        self._last_served += 1
        stream_id = self._last_served
        answer = self._served[stream_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                message = await self._framing.receive(stream, served=True)
                self._post(StreamReceived(stream_id, message, stream.peer))
                reply = await answer
                if reply is not None:
                    stream.write(await self._framing.seal(reply, dialling=False))
                    await stream.drain()
        except (PeerProtocolError, CipherError) as error:
            self._counters["streams_refused"] += 1
            self._complaints.refused("stream", stream.peer.host, str(error), self._context.now_ms())
            stream.write(await self._framing.seal(ErrorReply(str(error)).encode(), dialling=False))
        except (TransportError, TimeoutError):
            self._counters["streams_broken"] += 1
        finally:
            del self._served[stream_id]

    def answer(self, effect: Answer) -> None:
        """The core's answer to a stream, if anybody waits for it yet."""
        waiting = self._served.get(effect.stream_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(effect.reply)
