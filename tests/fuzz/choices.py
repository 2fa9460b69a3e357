"""Where a fuzzer's choices come from: one grammar, chosen from by Hypothesis, which then finds the smallest case, or
by a random generator, which is a hundred times as fast."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """What a grammar asks. The first of several options should be the plainest."""

    def below(self, end: int) -> int:
        """A number from 0 on, `end` excluded."""
        ...


class RandomChoices:
    """By a seed of any kind."""

    def __init__(self, seed: str) -> None:
        self.below = random.Random(seed).randrange


class _DrawnChoices:
    """By Hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, end: int) -> int:
        return self._draw(_numbers_below(end))


@lru_cache(maxsize=1024)
def _numbers_below(end: int) -> st.SearchStrategy[int]:
    return st.integers(0, end - 1)


@st.composite
def drawn(draw: st.DrawFn, make: Callable[[Choices], Any]) -> Any:
    """What a grammar makes, as a strategy."""
    return make(_DrawnChoices(draw))


def one_of(choices: Choices, options: Sequence[T]) -> T:
    """One of these."""
    return options[choices.below(len(options))]


def once_in(choices: Choices, times: int) -> bool:
    """True once in so many times."""
    return choices.below(times) == times - 1


def octets(choices: Choices, most: int) -> bytes:
    """Some octets, fewer than `most`."""
    return bytes(choices.below(256) for _ in range(choices.below(most)))
