"""What an answer lists, and how two answers of one read differ.

An item is known by some of its fields, such as `Node` and `Service.ID`. What is told of an item that has gone is the
item with these fields alone. JSON is cut into items without being read further, and told on as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from . import gojson

_DIGEST_OCTETS = 16
_KEPT_SPLITS = 16
_LARGEST_KEPT_OCTETS = 1 << 20
"""Of what many ask for alike, a few answers are kept as they were cut."""

Cut = Callable[[bytes], list[tuple[bytes, msgspec.Raw]]]
"""From a body to its items, each by what it is known by. msgspec.DecodeError for a body of another shape."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one answer, by what each is known by."""

    raws: Mapping[bytes, msgspec.Raw]
    digests: Mapping[bytes, bytes]
    """What a stream keeps of it."""


@dataclass(frozen=True, eq=False)
class KnownBy:
    """How the items of a route's answers are told apart."""

    cut: Cut
    is_map: bool = False

    def items(self, body: bytes) -> Items | None:
        """The items; None where there are none to be told apart, so that only the whole can be told."""
        return _split_kept(self, body) if len(body) <= _LARGEST_KEPT_OCTETS else _split(self, body)

    def changes(self, before: Mapping[bytes, bytes], items: Items) -> bytes:
        """The JSON that tells what is new or other, and what has gone."""
        changed = [known for known, digest in items.digests.items() if before.get(known) != digest]
        removed = b",".join(known for known in before if known not in items.digests)
        if self.is_map:
            body = b"{" + b",".join(known + b":" + bytes(items.raws[known]) for known in changed) + b"}"
        else:
            body = b"[" + b",".join(bytes(items.raws[known]) for known in changed) + b"]"
        return b'{"Changed":' + body + b',"Removed":[' + removed + b"]}"


@lru_cache(maxsize=_KEPT_SPLITS)
def _split_kept(known_by: KnownBy, body: bytes) -> Items | None:
    return _split(known_by, body)


def _split(known_by: KnownBy, body: bytes) -> Items | None:
    try:
        pairs = known_by.cut(body)
    except msgspec.DecodeError:
        return None
    raws = dict(pairs)
    if len(raws) < len(pairs):  # two of one name cannot be told apart
        return None
    return Items(raws, {known: digest_of(raw) for known, raw in raws.items()})


def digest_of(octets: bytes | msgspec.Raw) -> bytes:
    """What is kept in place of octets, to see whether others are the same."""
    return blake2b(octets, digest_size=_DIGEST_OCTETS).digest()


_raws_of = msgspec.json.Decoder(list[msgspec.Raw]).decode


def by_fields(*paths: str) -> KnownBy:
    """A list whose items are records, known by the texts at these paths."""
    identity = _record_of(tuple(tuple(path.split(".")) for path in paths))
    identities_of = msgspec.json.Decoder(list[identity]).decode  # type: ignore[valid-type]

    def cut(body: bytes) -> list[tuple[bytes, msgspec.Raw]]:
        return [(gojson.encode(known), raw) for known, raw in zip(identities_of(body), _raws_of(body), strict=True)]

    return KnownBy(cut)


def _record_of(paths: tuple[tuple[str, ...], ...]) -> type[msgspec.Struct]:
    """A record that has only what is at these paths."""
    fields: list[tuple[str, Any, Any]] = []
    for name in dict.fromkeys(path[0] for path in paths):
        below = tuple(path[1:] for path in paths if path[0] == name and path[1:])
        fields.append((name, _record_of(below) | None, None) if below else (name, str, ""))
    return msgspec.defstruct("Identity", fields)


_texts_of = msgspec.json.Decoder(list[str]).decode
_map_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

BY_ITSELF = KnownBy(lambda body: list(zip(map(gojson.encode, _texts_of(body)), _raws_of(body), strict=True)))
"""A list of texts."""
BY_KEY = KnownBy(lambda body: [(gojson.encode(key), raw) for key, raw in _map_of(body).items()], is_map=True)
"""A map."""


def either(first: KnownBy, second: KnownBy) -> KnownBy:
    """What is cut in the first way, or else in the second."""

    def cut(body: bytes) -> list[tuple[bytes, msgspec.Raw]]:
        try:
            return first.cut(body)
        except msgspec.DecodeError:
            return second.cut(body)

    return KnownBy(cut)


def _nothing(_body: bytes) -> list[tuple[bytes, msgspec.Raw]]:
    raise msgspec.DecodeError("nothing in it is told by itself")


AS_A_WHOLE = KnownBy(_nothing)
"""One record."""
