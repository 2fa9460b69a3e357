"""The body of a request: read as a whole within a limit, in pieces, or passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from .failures import HttpError, body_too_large
from .request import BodyError, Request

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SKIPPING_S = 2.0
"""How long what is left of a body that nobody wanted may take to arrive, before the connection is closed."""


async def read_body(request: Request, limit: int, option: str, timeout_s: float) -> bytes:
    """The body, at most `limit` octets.

    413 beyond, before anything is read where the length is declared; 408 when the client takes too long.
    """
    content = request.content
    if content.is_eof():
        # The body came with the headers, as most do: nothing to wait for.
        body = content.read_nowait()
        if len(body) > limit:
            raise body_too_large(len(body), limit, option)
        return body
    declared = request.content_length
    if declared is not None and declared > limit:
        raise body_too_large(declared, limit, option)
    _invite(request)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while chunk := await content.readany():
                size += len(chunk)
                if size > limit:
                    raise body_too_large(size, limit, option)
                chunks.append(chunk)
    except TimeoutError:
        raise _too_slow() from None
    except BodyError as error:
        raise _malformed() from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def body_pieces(request: Request, timeout_s: float) -> AsyncGenerator[bytes, None]:
    """The body as it comes, of any length; 408 when the client sends nothing for too long."""
    content = request.content
    if not content.is_eof():
        _invite(request)
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                piece = await content.readany()
        except TimeoutError:
            raise _too_slow() from None
        except BodyError as error:
            raise _malformed() from error
        if not piece:
            return
        yield piece


async def skip_body(request: Request) -> bool:
    """Pass over what an answer has left of the body; False where it does not end soon."""
    if _waits_for_invitation(request):
        return False
    try:
        async with asyncio.timeout(_SKIPPING_S):
            while await request.content.readany():
                pass
    except (TimeoutError, BodyError):
        return False
    return True


def _invite(request: Request) -> None:
    """Tell a client that asked whether to send the body to go on."""
    if _waits_for_invitation(request):
        request.connection.write(_CONTINUE)


def _waits_for_invitation(request: Request) -> bool:
    return not request.is_http_1_0 and request.headers.get("Expect", "").lower() == "100-continue"


def _too_slow() -> HttpError:
    return HttpError(408, "Request body took too long", close=True)


def _malformed() -> HttpError:
    return HttpError(400, "Malformed request body", close=True)
