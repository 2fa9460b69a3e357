"""What is done with what a watch sees: a program gets it on its standard input, or an HTTP request as its body."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from consul_kernel.structs.watch import HttpHandlerConfig, WatchDefinition

logger = logging.getLogger(__name__)

OUTPUT_LIMIT_BYTES = 4096
"""The end of a handler's output, which is what the log shows."""
END_S = 1.0
"""How long the output of a killed program may stay open: what has left its process group is not killed with it."""
INDEX_VARIABLE = "CONSUL_INDEX"
INDEX_HEADER = "X-Consul-Index"

Handler = Callable[[int, bytes], Awaitable[None]]
"""Called with the index and the JSON of what is new; returns when it is done. One call at a time."""


def make_handler(watch: WatchDefinition) -> Handler:
    """The handler of a watch whose definition has no faults."""
    config = watch.http_handler_config
    if watch.handler_type == "http" and config is not None:
        return lambda index, document: send(config, index, document)
    command = watch.args or shell_command(watch.handler)
    return lambda index, document: run(command, index, document)


def shell_command(text: str) -> list[str]:
    """A command line as the shell of this agent runs it."""
    return [os.environ.get("SHELL") or "/bin/sh", "-c", text]


async def run(command: Sequence[str], index: int, document: bytes) -> None:
    """Run a program, for as long as it takes, in a process group of its own that ends when this is cancelled."""
    try:
        process = await _start(command, index)
    except (OSError, ValueError) as error:
        logger.error("failed to run watch handler %s: %s", list(command), error)
        return
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = asyncio.create_task(_feed(process.stdin, document))
    try:
        output = await _tail(process.stdout)
        code = await process.wait()
    except BaseException:
        await asyncio.shield(_end(process, process.stdout))
        raise
    finally:
        feeding.cancel()
        process.stdin.close()
    if code:
        logger.error("watch handler %s ended with %d", list(command), code)
    logger.debug("watch handler %s output: %s", list(command), output)


async def _start(command: Sequence[str], index: int) -> asyncio.subprocess.Process:
    """Start a program. It is killed where this is cancelled half-way: asyncio kills it, too, but not what it has
    started, and would wait for that.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, INDEX_VARIABLE: str(index)},
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            process = await starting
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            await asyncio.shield(_end(process, process.stdout))
        raise


async def _end(process: asyncio.subprocess.Process, stdout: asyncio.StreamReader) -> None:
    """Kill a program with what it has started, and wait until its output is closed, too."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await _tail(stdout)


async def _feed(stdin: asyncio.StreamWriter, document: bytes) -> None:
    """A program that does not want to know is no failure."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(document)
        await stdin.drain()
    stdin.close()


async def send(config: HttpHandlerConfig, index: int, document: bytes) -> None:
    """Send a request, within its time."""
    headers = [("Content-Type", "application/json"), (INDEX_HEADER, str(index))]
    headers += [(name, value) for name, values in (config.header or {}).items() for value in values]
    connector = aiohttp.TCPConnector(force_close=True, ssl=not config.tls_skip_verify)
    timeout = aiohttp.ClientTimeout(total=max(config.timeout, 1) / 1e9)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(config.method or "POST", config.path, data=document, headers=headers) as response,
        ):
            output = await _tail(response.content)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        logger.error("failed to invoke http watch handler %s: %s", config.path, error or "timeout")
        return
    if 200 <= response.status < 300:
        logger.debug("http watch handler %s output: %s", config.path, output)
    else:
        logger.error("http watch handler %s got %d with output: %s", config.path, response.status, output)


async def _tail(stream: asyncio.StreamReader | aiohttp.StreamReader) -> str:
    """The end of an output; all of it is read, so that nobody is held up."""
    kept = bytearray()
    total = 0
    while chunk := await stream.read(65536):
        total += len(chunk)
        kept += chunk
        del kept[:-OUTPUT_LIMIT_BYTES]
    text = kept.decode("utf-8", "replace")
    return text if total <= OUTPUT_LIMIT_BYTES else f"Captured {OUTPUT_LIMIT_BYTES} of {total} bytes\n...\n{text}"
