"""Exchanges over streams: those that the core asks for, and those that peers begin."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consul_kernel.contracts.errors import CipherError, PeerProtocolError, TransportError
from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Stream

from .complaints import Complaints
from .core.events import Answer, Dial, DialFailed, Input, ReplyReceived, StreamReceived
from .core.messages import ErrorReply
from .framing import Framing
from .meters import Meters

logger = logging.getLogger("consul_kernel.swim")

_STREAMS_MAX: Final = 128

NO_ROOM: Final = "{} streams are served already, {} of them from this host"
UNREADABLE_ANSWER: Final = "the answer cannot be read ({}): does the other side have the same cipher, and the same key?"


@dataclass(slots=True)
class Served:
    """A stream that a peer opened, and what the core will answer."""

    stream: Stream
    answer: asyncio.Future[bytes | None] = field(default_factory=asyncio.Future)


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
        meters: Meters,
    ) -> None:
        self._meters = meters
        self._context = context
        self._framing = framing
        self._timeout_ms = timeout_ms
        self._post = post
        self._complaints = complaints
        self._counters = counters
        self._served: dict[int, Served] = {}
        self._last_served = 0

    async def dial(self, effect: Dial) -> None:
        """One exchange that the core asked for."""
        begun_ms = self._context.now_ms()
        self._meters.streams_dialled.add()
        try:
            async with asyncio.timeout(effect.timeout_ms / 1000):
                stream = await self._context.transport.dial(effect.to, timeout_ms=effect.timeout_ms)
                try:
                    self._write(stream, await self._framing.seal(effect.request, dialling=True))
                    await stream.drain()
                    reply = await self._framing.receive(stream, served=False)
                finally:
                    stream.close()
            self._meters.exchange_time.add(self._context.now_ms() - begun_ms)
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
        self._meters.streams_accepted.add()
        if len(self._served) >= _STREAMS_MAX and not self._make_room(stream.peer.host):
            return
        self._last_served += 1
        stream_id = self._last_served
        served = self._served[stream_id] = Served(stream)
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                message = await self._framing.receive(stream, served=True)
                self._post(StreamReceived(stream_id, message, stream.peer))
                reply = await served.answer
                if reply is not None:
                    self._write(stream, await self._framing.seal(reply, dialling=False))
                    await stream.drain()
        except (PeerProtocolError, CipherError) as error:
            self._counters["streams_refused"] += 1
            self._complaints.refused("stream", stream.peer.host, str(error), self._context.now_ms())
            stream.write(await self._framing.seal(ErrorReply(str(error)).encode(), dialling=False))
        except (TransportError, TimeoutError):
            self._counters["streams_broken"] += 1
        finally:
            self._served.pop(stream_id, None)

    def _write(self, stream: Stream, message: bytes) -> None:
        self._meters.stream_sent.add(len(message))
        stream.write(message)

    def _make_room(self, host: str) -> bool:
        """Close the oldest stream of the host that has most, if `host` has fewer; whether it did.

        So a host that opens streams and says nothing keeps out nobody but itself.
        """
        self._counters["streams_over_limit"] += 1
        shares = Counter(served.stream.peer.host for served in self._served.values())
        greediest, most = shares.most_common(1)[0]
        if shares[host] >= most:
            reason = NO_ROOM.format(len(self._served), shares[host])
            self._complaints.refused("stream", host, reason, self._context.now_ms())
            return False
        oldest = next(number for number, served in self._served.items() if served.stream.peer.host == greediest)
        self._served.pop(oldest).stream.close()
        return True

    def answer(self, effect: Answer) -> None:
        """The core's answer to a stream, if anybody waits for it yet."""
        waiting = self._served.get(effect.stream_id)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(effect.reply)
