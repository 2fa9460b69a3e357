"""One request as it came, before anybody has looked at what it asks for."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from types import coroutine
from typing import TYPE_CHECKING, Any

from aiohttp.http import HttpVersion11, RawRequestMessage

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

    from .connection import Connection


class BodyError(Exception):
    """The body is malformed, or ended too early."""


class Request:
    """A request: its head, and its body as it arrives."""

    __slots__ = ("connection", "content", "has_task", "headers", "is_http_1_0", "keep_alive", "method", "raw_path")

    def __init__(self, connection: Connection, message: RawRequestMessage, content: StreamReader) -> None:
        self.connection = connection
        self.method: str = message.method
        self.raw_path: str = message.path
        """The target as it came; octets that are not UTF-8 as lone surrogates."""
        self.headers: Mapping[str, str] = message.headers
        """By name without regard to case."""
        self.is_http_1_0: bool = message.version < HttpVersion11
        self.keep_alive: bool = not (message.should_close or message.upgrade)
        """Whether the client may ask again on this connection; one that asked for another protocol may not."""
        self.content = content
        self.has_task = False

    @coroutine
    def in_task(self) -> Generator[None, None, None]:
        """To be awaited before anything that may take time: until then an answer is made without a task of its own."""
        if not self.has_task:
            self.has_task = True
            yield

    @property
    def remote(self) -> str:
        """The client's IP address; "" on a Unix socket."""
        return self.connection.client

    @property
    def can_read_body(self) -> bool:
        """Whether there is a body that has not been read."""
        return not self.content.at_eof()

    @property
    def content_length(self) -> int | None:
        """The body's length, where it is declared. The parser has seen to it that it is a number."""
        declared: Any = self.headers.get("Content-Length")
        return int(declared) if declared is not None else None
