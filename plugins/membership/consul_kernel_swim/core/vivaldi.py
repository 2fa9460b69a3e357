"""Vivaldi: where this agent stands in the space of round-trip times, moved a little by each measurement.

Source: Dabek, Cox, Kaashoek, Morris, "Vivaldi: A Decentralized Network Coordinate System", 2004, with Serf's figures
and its three additions: a filter against single slow answers and an adjustment for what no such space can show
(Ledlie, Gardner, Seltzer, "Network Coordinates in the Wild", 2007), and a gravity that keeps the pool at the origin
(the same, section 7.2). All times are in seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from consul_kernel.structs.coordinate import DIMENSIONS, ERROR_START, HEIGHT_MIN, Coordinate

ROUND_TRIP_MAX_S: Final = 10.0
"""Longer ones are no measurement of a network."""
_ERROR_MAX: Final = ERROR_START
_ERROR_SHARE: Final = 0.25
_FORCE_SHARE: Final = 0.25
_ADJUSTMENT_WINDOW: Final = 20
_FILTER_SAMPLES: Final = 3
_GRAVITY_S: Final = 150.0
_ZERO_S: Final = 1e-6
_NS: Final = 1_000_000_000
_FARTHEST_S: Final = ((1 << 63) - 1) / _NS
"""What a Go duration holds: 292 years."""

_ORIGIN: Final = Coordinate()


def is_valid(coordinate: Coordinate) -> bool:
    """Whether a coordinate can be reckoned with: the right dimensions, all finite, error and height not negative."""
    if len(coordinate.vec) != DIMENSIONS or coordinate.error < 0.0 or coordinate.height < 0.0:
        return False
    return all(map(math.isfinite, (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)))


def _whole_ns(seconds: float) -> float:
    """Cut to whole nanoseconds, as Serf's durations are; what has overflowed stays as it is, and is found invalid."""
    return math.trunc(seconds * _NS) / _NS if abs(seconds) < _FARTHEST_S else seconds


def _raw_distance_s(a: Coordinate, b: Coordinate) -> float:
    return math.dist(a.vec, b.vec) + a.height + b.height


class Vivaldi:
    """One agent's coordinate. What `coordinate` hands out is never changed in place.

    The samples of the filter are kept by name, for as many names as are measured, until they are forgotten.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._samples: dict[str, list[float]] = {}
        self._window = [0.0] * _ADJUSTMENT_WINDOW
        self._window_at = 0
        self.coordinate = Coordinate()
        self.resets = 0

    def update(self, name: str, other: Coordinate, round_trip_s: float) -> bool:
        """Take one measurement in; False where it cannot be one, or the other's coordinate cannot be reckoned with."""
        if not 0.0 <= round_trip_s <= ROUND_TRIP_MAX_S or not is_valid(other):
            return False
        if not self.coordinate.distance_s(other) < _FARTHEST_S:
            return False
        round_trip_s = self._filter(name, round_trip_s)
        self._approach(other, round_trip_s)
        self._adjust(other, round_trip_s)
        self._fall_back()
        if not is_valid(self.coordinate) or not self.coordinate.distance_s(_ORIGIN) < _FARTHEST_S:
            self.resets += 1
            self.coordinate = Coordinate()
            self._window = [0.0] * _ADJUSTMENT_WINDOW
        return True

    def forget(self, name: str) -> None:
        """Drop the samples of a member that is gone."""
        self._samples.pop(name, None)

    def _filter(self, name: str, round_trip_s: float) -> float:
        """The median of the last three."""
        samples = self._samples.setdefault(name, [])
        samples.append(round_trip_s)
        del samples[:-_FILTER_SAMPLES]
        return sorted(samples)[len(samples) // 2]

    def _approach(self, other: Coordinate, round_trip_s: float) -> None:
        """Vivaldi's own step: as far as our error compares to the other's."""
        own = self.coordinate
        distance_s = _whole_ns(own.distance_s(other))
        measured_s = max(round_trip_s, _ZERO_S)
        weight = own.error / max(own.error + other.error, _ZERO_S)
        wrongness = abs(distance_s - measured_s) / measured_s
        share = _ERROR_SHARE * weight
        error = min(share * wrongness + own.error * (1.0 - share), _ERROR_MAX)
        self._push(_FORCE_SHARE * weight * (measured_s - distance_s), other, error)

    def _push(self, force_s: float, other: Coordinate, error: float) -> None:
        """Move away from another place by `force_s`, towards it where that is negative."""
        own = self.coordinate
        unit, length_s = self._direction(own.vec, other.vec)
        height = own.height
        if length_s > _ZERO_S:
            height = max((height + other.height) * force_s / length_s + height, HEIGHT_MIN)
        self.coordinate = Coordinate(
            vec=[place + step * force_s for place, step in zip(own.vec, unit, strict=True)],
            error=error,
            adjustment=own.adjustment,
            height=height,
        )

    def _direction(self, to: Sequence[float], source: Sequence[float]) -> tuple[list[float], float]:
        """The unit vector from one place to another and their distance; a random one, and 0, where they are one."""
        difference = [a - b for a, b in zip(to, source, strict=True)]
        length_s = math.hypot(*difference)
        if length_s > _ZERO_S:
            return [part / length_s for part in difference], length_s
        difference = [self._rng.random() - 0.5 for _ in to]
        length = math.hypot(*difference)
        if length > _ZERO_S:
            return [part / length for part in difference], 0.0
        return [1.0, *[0.0] * (DIMENSIONS - 1)], 0.0

    def _adjust(self, other: Coordinate, round_trip_s: float) -> None:
        """Half of what the last estimates were short by, on average: the other half is the other side's."""
        own = self.coordinate
        self._window[self._window_at] = round_trip_s - _raw_distance_s(own, other)
        self._window_at = (self._window_at + 1) % _ADJUSTMENT_WINDOW
        adjustment = sum(self._window) / (2.0 * _ADJUSTMENT_WINDOW)
        self.coordinate = Coordinate(vec=own.vec, error=own.error, adjustment=adjustment, height=own.height)

    def _fall_back(self) -> None:
        """Gravity: the farther away from the origin, the stronger back to it."""
        ratio = _whole_ns(self.coordinate.distance_s(_ORIGIN)) / _GRAVITY_S
        self._push(-ratio * ratio, _ORIGIN, self.coordinate.error)
