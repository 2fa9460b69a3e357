"""What a server answers: one handler for each method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from consul_kernel.structs.methods import Method

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

Handler = Callable[[RequestT], Awaitable[ReplyT]]
AtOnce = Callable[[RequestT], ReplyT | None]
"""Answers what needs no waiting; None where the handler must be asked."""
Dispatch = Callable[[Method[Any, Any], Any], Awaitable[Any]]
"""Carries out a call wherever it belongs: `Router.call`."""


class Endpoint(NamedTuple):
    """A method and who answers it here."""

    method: Method[Any, Any]
    handle: Callable[[Any], Awaitable[Any]]
    at_once: Callable[[Any], Any] | None = None


class EndpointTable:
    """Handlers by the wire name of their method."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._services: set[str] = set()

    def attach(
        self,
        method: Method[RequestT, ReplyT],
        handler: Handler[RequestT, ReplyT],
        at_once: AtOnce[RequestT, ReplyT] | None = None,
    ) -> None:
        """Answer a method. Attaching twice is a programming error and raises ValueError."""
        if method.name in self._endpoints:
            raise ValueError(f"{method.name} has a handler already")
        self._endpoints[method.name] = Endpoint(method, handler, at_once)
        self._services.add(method.name.partition(".")[0])

    def wrap(self, name: str, wrapper: Callable[[Handler[Any, Any]], Handler[Any, Any]]) -> None:
        """Put something around a handler that is attached."""
        endpoint = self._endpoints[name]
        self._endpoints[name] = Endpoint(endpoint.method, wrapper(endpoint.handle))

    def get(self, name: str) -> Endpoint | None:
        """The endpoint of a method, by its wire name."""
        return self._endpoints.get(name)

    def explain_missing(self, name: str) -> str:
        """What Go's net/rpc says of a method that is not there."""
        service, dot, method = name.rpartition(".")
        if not dot or not service or not method:
            return f"rpc: service/method request ill-formed: {name}"
        return f"rpc: can't find {'method' if service in self._services else 'service'} {name}"
