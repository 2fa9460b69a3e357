"""Which records of an answer a request asks for: filter expressions and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from consul_kernel.contracts.errors import RpcError
from consul_kernel.filters import FilterError, create_filter
from consul_kernel.structs.query import ServiceSpecificRequest

RecordT = TypeVar("RecordT")


def select_matching(expression: str, record_type: type[RecordT]) -> Callable[[list[RecordT]], list[RecordT]]:
    """A function that keeps the records a filter expression is true of. RpcError when it is no such expression."""
    try:
        return create_filter(expression, record_type)
    except FilterError as error:
        raise RpcError(str(error)) from error


def wanted_tags(request: ServiceSpecificRequest) -> list[str]:
    """The tags to filter by, in lower case; the single tag is what callers before Consul 1.3 send."""
    if not request.tag_filter:
        return []
    tags = [request.service_tag] if request.service_tag else (request.service_tags or [])
    return [tag.lower() for tag in tags]


def has_tags(tags: list[str] | None, wanted: list[str]) -> bool:
    """Whether all wanted tags (in lower case) are there, without regard to case."""
    present = {tag.lower() for tag in tags or ()}
    return all(tag in present for tag in wanted)
