"""`/v1/agent/monitor`: the agent's log as it is written; `/v1/agent/host`: what it runs on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from consul_kernel.contracts.errors import RequestError
from consul_kernel.contracts.interface import ArchiveStream
from consul_kernel_http.answer import TEXT, Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.reads import blocked

_DEFAULT_LEVEL = "INFO"


async def monitor(exchange: Exchange) -> Answer:
    """The log from `loglevel` up, until the client has enough of it; with `logjson` as JSON."""
    level = exchange.query.get("loglevel") or _DEFAULT_LEVEL
    try:
        log = exchange.agent.monitor(level, as_json="logjson" in exchange.query)
    except RequestError as error:
        raise BadRequestError(f"Bad request: {error}") from None
    return exchange.stream(_until_closing(exchange, log), TEXT)


async def _until_closing(exchange: Exchange, log: ArchiveStream) -> AsyncGenerator[bytes, None]:
    """The log, which ends with the interface at the latest: nobody waits for a listener."""
    async with aclosing(log):
        while True:
            try:
                lines = await blocked(exchange, _next(log))
            except HttpError:
                return
            if not lines:
                return
            yield lines


async def _next(log: ArchiveStream) -> bytes:
    """What comes next; nothing at the end."""
    try:
        return await log.__anext__()
    except StopAsyncIteration:
        return b""


async def host(exchange: Exchange) -> Answer:
    """What the agent runs on."""
    return exchange.json(await exchange.agent.describe_host())
