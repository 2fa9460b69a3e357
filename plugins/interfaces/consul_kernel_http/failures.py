"""From an error to Consul's status and text."""

from __future__ import annotations

from consul_kernel.contracts.errors import ConsulKernelError, NotFoundError, RequestError

RATE_EXCEEDED = "rate limit exceeded"
_TOO_LONG = ("Names are too long: ", "Key is too long: ", "The matching takes too long: ")
"""Bounds of ours, of which Consul has none: who exceeds them is told so by every agent, whichever has found it."""
_FORBIDDEN = ("Permission denied", "ACL not found")


class HttpError(ConsulKernelError):
    """An answer that is not the one asked for: a status and a text, which may be empty."""

    def __init__(self, status: int, text: str = "", *, headers: bytes = b"", close: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers
        """Header lines to add, each ended by CR LF."""
        self.close = close
        """The connection cannot be used any more."""


class BadRequestError(HttpError):
    """400: the request is wrong in itself."""

    def __init__(self, text: str, *, headers: bytes = b"") -> None:
        super().__init__(400, text, headers=headers)


class MethodNotAllowedError(HttpError):
    """405, with the methods that are."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        allow = ",".join(("OPTIONS", *allowed))
        super().__init__(405, f"method {method} not allowed", headers=f"Allow: {allow}\r\n".encode())


def body_too_large(size: int, limit: int, option: str) -> HttpError:
    """413 for a body beyond a limit of `limits`, named by its option's anchor in Consul's documentation."""
    return HttpError(
        413,
        f"Request body({size} bytes) too large, max size: {limit} bytes. "
        f"See https://www.consul.io/docs/agent/options.html#{option}.",
    )


def failure_of(error: ConsulKernelError) -> HttpError:
    """What a refused call is answered with. Consul's wire knows errors by their text alone."""
    if isinstance(error, HttpError):
        return error
    text = str(error)
    if isinstance(error, NotFoundError):
        return HttpError(404, text)
    if isinstance(error, RequestError):
        return HttpError(400, text)
    if any(forbidden in text for forbidden in _FORBIDDEN):
        return HttpError(403, text)
    if RATE_EXCEEDED in text:
        return HttpError(429, text)
    if any(bound in text for bound in _TOO_LONG):
        return HttpError(400, text)
    return HttpError(500, text)
