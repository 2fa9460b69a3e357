"""A connection of HTTP/2 (RFC 9113) for a single question, on the state machine of `h2`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.exceptions import ProtocolError

from .targets import Target
from .tls import HTTP2, tls_context

READ_BYTES = 65_536
RECEIVED_MAX_BYTES = 1024 * 1024
"""A peer that has sent this much without answering is given up."""


class Http2Error(Exception):
    """The peer does not speak HTTP/2, or ended the connection."""


class Http2Connection:
    """One connection; `state` is what is said on it, `events` what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.state = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.state.initiate_connection()

    async def flush(self) -> None:
        """Send what the state machine has to say."""
        self._writer.write(self.state.data_to_send())
        await self._writer.drain()

    async def events(self) -> AsyncIterator[Event]:
        """What the peer says, as it comes; answers that the protocol owes are sent. Http2Error at the end."""
        received = 0
        while data := await self._reader.read(READ_BYTES):
            received += len(data)
            if received > RECEIVED_MAX_BYTES:
                raise Http2Error(f"no answer within {RECEIVED_MAX_BYTES} bytes")
            try:
                events = self.state.receive_data(data)
            except ProtocolError as error:
                raise Http2Error(f"http2: {str(error) or type(error).__name__}") from error
            await self.flush()
            for event in events:
                yield event
        raise Http2Error("EOF")


@contextlib.asynccontextmanager
async def connect_http2(
    target: Target, *, use_tls: bool, skip_verify: bool, server_name: str
) -> AsyncIterator[Http2Connection]:
    """A connection, with TLS (ALPN `h2`) or by prior knowledge.

    Raises OSError, of which ssl.SSLError is one, and Http2Error.
    """
    context = tls_context(skip_verify=skip_verify, protocols=(HTTP2,)) if use_tls else None
    reader, writer = await asyncio.open_connection(
        target.host, target.port, ssl=context, server_hostname=(server_name or target.host) if use_tls else None
    )
    try:
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != HTTP2:
            raise Http2Error('http2: unexpected ALPN protocol; want "h2"')
        connection = Http2Connection(reader, writer)
        await connection.flush()
        yield connection
    finally:
        writer.transport.abort()
