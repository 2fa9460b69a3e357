"""How heavy an object is with all that it holds: for tests that nothing grows."""

from __future__ import annotations

import gc
import sys
import types
from collections import deque
from dataclasses import dataclass
from typing import Any

_NOT_HELD = (type, types.ModuleType, types.CodeType, types.BuiltinFunctionType, types.FrameType)
"""What belongs to the program."""
_CONTAINERS = (dict, list, set, frozenset, tuple, deque)


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes in all; the longest container and its beginning; the object whose own bytes are the most."""

    total_bytes: int
    longest: int
    longest_is: str
    heaviest: str


def weigh(root: object) -> Weight:
    """Follow every reference from `root`, through closures too, but not into modules, classes and code."""
    seen: set[int] = set()
    waiting: list[Any] = [root]
    total = longest = most = 0
    longest_is = heaviest = ""
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _NOT_HELD):
            continue
        seen.add(id(item))
        size = sys.getsizeof(item, 0)
        total += size
        if size > most:
            most, heaviest = size, f"{type(item).__name__} {str(item)[:60]}"
        if isinstance(item, _CONTAINERS) and len(item) > longest:
            longest, longest_is = len(item), f"{type(item).__name__} {str(item)[:200]}"
        if isinstance(item, types.FunctionType):
            waiting += [cell.cell_contents for cell in item.__closure__ or () if _is_filled(cell)]
            waiting += item.__defaults__ or ()
        else:
            waiting += gc.get_referents(item)
    return Weight(total, longest, longest_is, heaviest)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True
