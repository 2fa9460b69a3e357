"""Runs the kit on the installed `toy_redis_check`, without a test framework."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from toy_redis_check import PLUGIN  # type: ignore[import-not-found]  # installed where this is run

from consul_kernel.testing.check_kit import CHECKS, CheckCase, Keys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes every command, and has one database."""
    with contextlib.suppress(OSError):
        while line := await reader.readline():
            writer.write(b"+OK\r\n" if line in (b"SELECT 0\r\n", b"PING\r\n") else b"-ERR\r\n")
    writer.close()


@contextlib.asynccontextmanager
async def healthy(database: int = 0) -> AsyncIterator[Keys]:
    """A server, and a definition of one of its databases."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield {"redis_ping": f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "redis_database": database}
    finally:
        server.close()


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[Keys]:
    """A server that reads and says nothing."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield {"redis_ping": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    finally:
        server.close()


async def main() -> None:
    """Every check of the kit."""
    case = CheckCase(
        plugin=PLUGIN, healthy=healthy, sick=lambda: healthy(7), silent=silent, refused=[{"redis_ping": "nowhere"}]
    )
    for check in CHECKS:
        await check(case)
    print(f"{len(CHECKS)} checks passed")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
