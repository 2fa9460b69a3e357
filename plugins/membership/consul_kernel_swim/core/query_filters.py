"""Who is asked by a query: filters by names and by the values of tags, all of which must fit.

On the wire a filter is one type byte and msgpack: 0 and an array of names, or 1 and a tag with a regular expression
(Go's, matched anywhere in the value; a missing tag is ""). What cannot be read fits nobody. Expressions come from
strangers and are matched in bounded time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from consul_kernel.contracts.errors import MembershipError, PeerProtocolError
from consul_kernel.filters import Regexp, RegexpError

from .wire import as_text, pack, read_struct, read_text, unpack

_NODES: Final = b"\x00"
_TAG: Final = b"\x01"
_TAG_FILTERS_MAX: Final = 16
_STEPS_MAX: Final = 16_384
"""Steps of matching for one member, about 10 ms: filters that could take more fit nobody. A value of 500 bytes leaves
room for an expression of 30 instructions, one of 60 for the largest expression that there is."""
_EXPRESSIONS_KEPT: Final = 16


class Filters:
    """All the filters of one query."""

    def __init__(self, names: frozenset[str] | None = None, tags: Sequence[tuple[str, Regexp]] = ()) -> None:
        """`names` None: any name."""
        self._names = names
        self._tags = tags

    def fit(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a member of this name with these tags is asked."""
        if self._names is not None and name not in self._names:
            return False
        matches = [(expression, tags.get(tag, "")) for tag, expression in self._tags]
        if sum(expression.size * len(value) for expression, value in matches) > _STEPS_MAX:
            return False
        return all(expression.search(value) for expression, value in matches)


def read_filters(filters: Sequence[bytes]) -> Filters:
    """The filters of a query from the wire. Raises PeerProtocolError when one cannot be read, or there are too many."""
    names: frozenset[str] | None = None
    tags: list[tuple[str, Regexp]] = []
    for content in filters:
        if content[:1] == _NODES:
            listed = _read_names(content[1:])
            names = listed if names is None else names & listed
        elif content[:1] == _TAG and len(tags) < _TAG_FILTERS_MAX:
            tags.append(_read_tag_filter(content[1:]))
        else:
            raise PeerProtocolError("a filter of an unknown kind, or more than can be matched")
    return Filters(names, tags)


def encode_filters(nodes: Sequence[str], tags: Mapping[str, str]) -> tuple[bytes, ...]:
    """The filters of a question. Raises MembershipError for an expression that is none, or for too many."""
    if len(tags) > _TAG_FILTERS_MAX:
        raise MembershipError(f"{len(tags)} tags to filter by, where at most {_TAG_FILTERS_MAX} are possible")
    filters = [_NODES + pack(list(nodes))] if nodes else []
    for tag, expression in sorted(tags.items()):
        try:
            _compile(expression)
        except RegexpError as error:
            raise MembershipError(f"the filter of tag {tag!r} is no regular expression: {error}") from error
        filters.append(_TAG + pack({"Expr": expression, "Tag": tag}))
    return tuple(filters)


def _read_names(content: bytes) -> frozenset[str]:
    names = unpack(content)
    if not isinstance(names, list):
        raise PeerProtocolError("a node filter is no array")
    return frozenset(as_text(name, b"node filter") for name in names)


def _read_tag_filter(content: bytes) -> tuple[str, Regexp]:
    fields = read_struct(content, (b"Tag", b"Expr"))
    try:
        return read_text(fields, b"Tag"), _compile(read_text(fields, b"Expr"))
    except RegexpError as error:
        raise PeerProtocolError(f"a tag filter that is no regular expression: {error}") from error


@lru_cache(maxsize=_EXPRESSIONS_KEPT)
def _compile(expression: str) -> Regexp:
    return Regexp(expression)
