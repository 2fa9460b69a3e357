"""Whether what a watch sees is news."""

from __future__ import annotations

import uuid
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.structs.event import event_index
from consul_kernel.watching.progress import Progress
from consul_kernel.watching.results import WatchedEvent


def test_the_first_answer_is_news_whatever_it_is() -> None:
    assert Progress("key").take(3, None) == (True, None)
    assert Progress("event").take(1, []) == (True, [])


def test_only_another_result_is_news() -> None:
    progress = Progress("services")
    assert progress.take(3, {"a": []})[0]
    assert not progress.take(3, {"a": []})[0]
    assert not progress.take(4, {"a": []})[0]
    assert progress.take(5, {})[0]
    assert progress.index == 5


def test_an_index_that_goes_back_is_asked_from_the_start() -> None:
    progress = Progress("nodes")
    progress.take(9, ["a"])
    assert progress.take(4, ["a"]) == (False, ["a"])
    assert progress.index == 0
    progress.take(4, ["a"])
    assert progress.index == 4


def test_failures_are_left_alone_longer_and_longer_and_nothing_is_told_twice() -> None:
    progress = Progress("nodes")
    progress.take(9, ["a"])
    assert [progress.failed() for _ in range(7)] == [5, 20, 45, 80, 125, 180, 180]
    assert progress.index == 0
    assert not progress.take(9, ["a"])[0]
    assert progress.failed() == 5


def event(name: str) -> WatchedEvent:
    return WatchedEvent(id=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), name=name)


def test_events_are_told_once_each() -> None:
    first, second, third = (event(name) for name in "abc")
    progress = Progress("event")
    assert progress.take(event_index(first.id), [first]) == (True, [first])
    assert progress.take(event_index(third.id), [first, second, third]) == (True, [second, third])
    assert progress.index == event_index(third.id)
    assert not progress.take(event_index(third.id), [first, second, third])[0]


def test_events_are_told_once_though_the_agent_was_away() -> None:
    first, second = event("a"), event("b")
    progress = Progress("event")
    progress.take(event_index(first.id), [first])
    progress.failed()
    assert progress.index == 0
    assert not progress.take(event_index(first.id), [first])[0]
    progress.failed()
    assert progress.take(event_index(second.id), [first, second]) == (True, [second])


@given(st.lists(st.one_of(st.integers(0, 6), st.none()), max_size=40))
def test_every_event_that_the_agent_still_has_is_told_once_and_in_order(steps: list[int | None]) -> None:
    """So many events come between two answers, or the agent is away. It keeps five: of more, the newest are told."""
    progress, kept, told, owed = Progress("event"), deque[WatchedEvent](maxlen=5), list[str](), list[str]()
    made = 0
    for arriving in steps:
        if arriving is None:
            progress.failed()
            continue
        names = [str(number) for number in range(made, made + arriving)]
        made += arriving
        kept.extend(map(event, names))
        owed += names[-5:]
        is_news, news = progress.take(event_index(kept[-1].id) if kept else 1, list(kept))
        told += [found.name for found in news]
        assert is_news or not news
    assert told == owed
