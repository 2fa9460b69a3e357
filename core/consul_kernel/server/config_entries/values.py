"""Fields of settings whose types are known to be right."""

from __future__ import annotations

from typing import Any

Settings = dict[str, Any]

WILDCARD = "*"
_HTTP_LIKE = frozenset({"http", "http2", "grpc"})
_HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"})


def text(settings: Settings, name: str) -> str:
    """A text, "" where there is none."""
    value: str = settings.get(name) or ""
    return value


def number(settings: Settings, name: str) -> float:
    """A number, 0 where there is none."""
    value: float = settings.get(name) or 0
    return value


def records(settings: Settings, name: str) -> list[Settings]:
    """A list of records; one that is null is empty."""
    return [item or {} for item in settings.get(name) or ()]


def texts(settings: Settings, name: str) -> list[str]:
    """A list of texts."""
    return [item or "" for item in settings.get(name) or ()]


def mapping(settings: Settings, name: str) -> dict[str, Any]:
    """Values by name."""
    value: dict[str, Any] = settings.get(name) or {}
    return value


def is_http_like(protocol: str) -> bool:
    """Whether a protocol has requests that can be told apart."""
    return protocol in _HTTP_LIKE


def methods_fault(methods: list[str]) -> str:
    """What is wrong with a list of HTTP methods, or an empty string."""
    seen = set()
    for method in methods:
        if method not in _HTTP_METHODS:
            return f'contains an invalid method "{method}"'
        if method in seen:
            return f'contains "{method}" more than once'
        seen.add(method)
    return ""
