"""Line charts as SVG, for documents: no more than those need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 210, 40, 50
_COLOURS = ("#0b6e99", "#d1495b", "#5a8f29", "#8d6a9f", "#c98a00")


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a line; those of one colour belong together, and theory is dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    is_dashed: bool = False
    has_marks: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, with these numbers written at it."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, from 0 to 1."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """The whole SVG."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at(value_x: float, value_y: float) -> tuple[float, float]:
        return _LEFT + x.place(value_x) * (right - _LEFT), bottom - y.place(value_y) * (bottom - _TOP)

    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in x.ticks:
        across, _ = at(tick, y.low)
        parts.append(f'<path d="M{across:.1f} {_TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{across:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,g}</text>')
    for tick in y.ticks:
        _, down = at(x.low, tick)
        parts.append(f'<path d="M{_LEFT} {down:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{tick:,g}</text>')
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#333"/>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(x.title)}</text>')
    parts.append(f'<text transform="translate(16 {(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">')
    parts.append(f"{escape(y.title)}</text>")
    for number, line in enumerate(lines):
        parts += _drawn(line, [at(*point) for point in line.points])
        parts += _explained(line, right + 16, _TOP + 12 + 20 * number)
    return "\n".join([*parts, "</svg>", ""])


def _stroke(line: Line) -> str:
    dashes = ' stroke-dasharray="5 4"' if line.is_dashed else ""
    return f'fill="none" stroke="{_COLOURS[line.colour]}" stroke-width="1.8"{dashes}'


def _drawn(line: Line, places: Sequence[tuple[float, float]]) -> list[str]:
    path = "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
    drawn = [f'<path d="M{path}" {_stroke(line)}/>']
    if line.has_marks:
        colour = _COLOURS[line.colour]
        drawn += [f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>' for across, down in places]
    return drawn


def _explained(line: Line, across: float, down: float) -> list[str]:
    return [
        f'<path d="M{across} {down}h24" {_stroke(line)}/>',
        f'<text x="{across + 30}" y="{down + 4}">{escape(line.name)}</text>',
    ]
