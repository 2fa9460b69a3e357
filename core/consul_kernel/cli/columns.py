"""Plain columns, as Consul's commands print them."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = "  "


def format_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines whose cells start at the same places; the first row is the heading."""
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows), default=0))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def format_attributes(pairs: Sequence[tuple[str, str]], gap: int = 6) -> str:
    """`name      value` lines, the values beginning `gap` behind the longest name."""
    width = max(len(name) for name, _ in pairs) + gap
    return "\n".join(f"{name.ljust(width)}{value}" for name, value in pairs)
