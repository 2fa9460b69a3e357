"""What a long search for garbage found in use is not searched again, and yet nothing lies about for ever."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from consul_kernel.agent import garbage
from consul_kernel.agent.garbage import GarbageSearch


class Node:
    """Part of a cycle, when it is told so."""

    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture
def search() -> Iterator[GarbageSearch]:
    """A search that has begun; its surroundings are as before when the test has ended."""
    was_enabled = gc.isenabled()
    search = GarbageSearch()
    search.begin()
    gc.disable()  # only the searches of the test
    yield search
    search.end()
    gc.unfreeze()
    if was_enabled:
        gc.enable()


def test_what_a_long_search_found_in_use_is_left_out(search: GarbageSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG_S", -1.0)
    before = gc.get_freeze_count()
    kept: list[list[int]] = [[] for _ in range(1000)]
    gc.collect(1)
    assert gc.get_freeze_count() == before
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)


def test_a_short_search_changes_nothing(search: GarbageSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG_S", 60.0)
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() == before


def test_garbage_that_was_left_out_is_found_when_twice_as_much_is(
    search: GarbageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "LONG_S", -1.0)
    node = Node()
    node.other = node
    found = weakref.ref(node)
    gc.collect()
    del node
    gc.collect()
    assert found() is not None  # left out while it was in use
    more: list[list[int]] = [[] for _ in range(2 * gc.get_freeze_count())]
    gc.collect()  # twice as much is left out now, so that the next search is of all
    gc.collect()
    assert found() is None
    assert gc.get_freeze_count() >= len(more)


def test_the_end_leaves_the_rest_to_python() -> None:
    search = GarbageSearch()
    was_enabled, before = gc.isenabled(), (list(gc.callbacks), gc.get_threshold())
    search.begin()
    assert gc.get_threshold()[0] == garbage.YOUNG_MAX
    search.end()
    search.end()
    gc.unfreeze()
    assert (gc.callbacks, gc.get_threshold()) == before
    if not was_enabled:
        gc.disable()
