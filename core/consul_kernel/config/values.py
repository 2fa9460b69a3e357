"""One value of one key: checked against the key's type, with a word on how to write it when it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from consul_kernel.structs.duration import DurationError, parse_duration_ns

from .problems import ProblemLog
from .schema import KeyType
from .tree import Listing, Node, Scalar, Table, describe, to_plain, unlabelled

MAX_PORT = 65_535


class BadValueError(Exception):
    """A value that its key cannot have; already in the log."""


def read_value(kind: KeyType, node: Node, path: str, problems: ProblemLog) -> Any:
    """The value as plain Python: durations in nanoseconds, lists as tuples. Raises BadValueError after logging."""
    if kind is KeyType.ANYTHING:
        return to_plain(node).value
    if kind is KeyType.TEXTS:
        return _read_texts(node, path, problems)
    if kind is KeyType.TEXT_MAP:
        return _read_map(KeyType.TEXT, node, path, problems)
    if kind is KeyType.DURATION_MAP:
        return _read_map(KeyType.DURATION, node, path, problems)
    return _read_scalar(kind, unwrap(node), path, problems)


def unwrap(node: Node) -> Node:
    """The element of a list of one, which Consul takes where a single value is meant."""
    return node.items[0] if isinstance(node, Listing) and len(node.items) == 1 else node


def refuse(kind: KeyType, node: Node, path: str, problems: ProblemLog, detail: str = "") -> BadValueError:
    """Log that a value is not what its key expects."""
    text = f"expected {kind.value}, got {describe(node)}"
    problems.error(f"{text}: {detail}" if detail else text, node.position, key=path)
    return BadValueError(path)


def _read_scalar(kind: KeyType, node: Node, path: str, problems: ProblemLog) -> Any:
    if isinstance(node, Scalar):
        try:
            value = _READERS[kind](node.value)
        except DurationError as error:
            raise refuse(kind, node, path, problems, str(error)) from None
        if value is not None:
            return value
    raise refuse(kind, node, path, problems)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _int(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) < 1 << 63 else None


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _duration(value: object) -> int | None:
    return parse_duration_ns(value) if isinstance(value, str) else None


def _port(value: object) -> int | None:
    number = _int(value)
    if number is None or number > MAX_PORT:
        return None
    return number if number > 0 else -1  # Consul disables at 0 and below


_READERS: Mapping[KeyType, Callable[[object], Any]] = {
    KeyType.TEXT: _text,
    KeyType.BOOL: _bool,
    KeyType.INT: _int,
    KeyType.FLOAT: _float,
    KeyType.DURATION: _duration,
    KeyType.PORT: _port,
}


def _read_texts(node: Node, path: str, problems: ProblemLog) -> tuple[str, ...]:
    if not isinstance(node, Listing):
        detail = f'write ["{node.value}"]' if isinstance(node, Scalar) and isinstance(node.value, str) else ""
        raise refuse(KeyType.TEXTS, node, path, problems, detail)
    return tuple(
        _read_scalar(KeyType.TEXT, item, f"{path}[{index}]", problems) for index, item in enumerate(node.items)
    )


def _read_map(kind: KeyType, node: Node, path: str, problems: ProblemLog) -> dict[str, Any]:
    """A map; a list of maps, as repeated blocks of HCL give, is one map."""
    tables = node.items if isinstance(node, Listing) else (node,)
    result: dict[str, Any] = {}
    for table in tables:
        if not isinstance(table, Table):
            raise refuse(KeyType.TEXT_MAP if kind is KeyType.TEXT else KeyType.DURATION_MAP, table, path, problems)
        for entry in unlabelled(table):
            result[entry.key] = _read_scalar(kind, entry.value, f"{path}.{entry.key}", problems)
    return result
