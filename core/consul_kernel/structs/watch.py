"""Watches as a user defines them, in an agent file or by the flags of `consul-kernel watch`."""

from __future__ import annotations

from typing import Any

from .record import Record

DEFAULT_HANDLER_TIMEOUT_NS = 10_000_000_000


class HttpHandlerConfig(Record, kw_only=True):
    """Where a watch sends what it sees. `timeout` is nanoseconds."""

    path: str = ""
    method: str = "POST"
    timeout: int = DEFAULT_HANDLER_TIMEOUT_NS
    header: dict[str, list[str]] | None = None
    tls_skip_verify: bool = False


class WatchDefinition(Record, kw_only=True):
    """What is watched, and what is done when it changes. `tag` is a text or a list of texts.

    `handler` is run by a shell, `args` is run as it is; with `handler_type` "http", `http_handler_config` is asked.
    """

    type: str = ""
    datacenter: str = ""
    token: str = ""
    stale: bool = False
    key: str = ""
    prefix: str = ""
    service: str = ""
    tag: Any = None
    passingonly: bool = False
    state: str = ""
    name: str = ""
    filter: str = ""
    handler_type: str = ""
    handler: str = ""
    args: list[str] | None = None
    http_handler_config: HttpHandlerConfig | None = None

    def tags(self) -> list[str]:
        """The tags that an instance must have."""
        if not self.tag:
            return []
        return [self.tag] if isinstance(self.tag, str) else list(self.tag)

    def runs_command(self) -> bool:
        """Whether the handler is a program of this host."""
        return bool(self.handler or self.args)
