"""What HCL and JSON files are read into: plain values that know where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .problems import SourcePosition

ScalarValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number, boolean or null."""

    value: ScalarValue
    position: SourcePosition


@dataclass(frozen=True, slots=True)
class Listing:
    """An ordered list."""

    items: tuple[Node, ...]
    position: SourcePosition


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a table with its value. `labels` are those of an HCL block: `store "disk" {`."""

    key: str
    value: Node
    position: SourcePosition
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Keys in the order of the file; a key may come again (HCL blocks, JSON duplicates)."""

    entries: tuple[Entry, ...]
    position: SourcePosition


Node = Scalar | Listing | Table


def describe(node: Node) -> str:
    """A value in the words of an error message: `the text "x"`, `the number 5`, `a list`."""
    if isinstance(node, Table):
        return "a block"
    if isinstance(node, Listing):
        return "a list"
    value = node.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        return f'the text "{shown}"'
    return "null" if value is None else f"the number {value}"


@dataclass(frozen=True, slots=True)
class PlainValue:
    """A node as plain Python values, with the position of every dotted key path in it."""

    value: Any
    positions: dict[str, SourcePosition] = field(default_factory=dict)


def to_plain(node: Node) -> PlainValue:
    """Plain dicts, lists and scalars of a node. A table's key that comes again: blocks merge, else the last counts."""
    positions: dict[str, SourcePosition] = {}
    return PlainValue(_plain(node, "", positions), positions)


def _plain(node: Node, path: str, positions: dict[str, SourcePosition]) -> Any:
    if path:
        positions.setdefault(path, node.position)
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return [_plain(item, f"{path}[{index}]", positions) for index, item in enumerate(node.items)]
    result: dict[str, Any] = {}
    for entry in unlabelled(node):
        child_path = f"{path}.{entry.key}" if path else entry.key
        positions[child_path] = entry.position
        value = _plain(entry.value, child_path, positions)
        before = result.get(entry.key)
        if isinstance(before, dict) and isinstance(value, dict):
            before.update(value)
        else:
            result[entry.key] = value
    return result


def unlabelled(table: Table) -> Iterator[Entry]:
    """Entries with labels turned into tables, as HCL reads them: `a "b" { … }` is `a { b { … } }`."""
    for entry in table.entries:
        value = entry.value
        for label in reversed(entry.labels):
            value = Table((Entry(label, value, entry.position),), entry.position)
        yield Entry(entry.key, value, entry.position)
