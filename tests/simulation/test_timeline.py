"""Virtual time: actions run in order of time, then of scheduling, whoever schedules them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.testing.simulation import Timeline, ViolationError


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(-2, 3), max_size=3)), max_size=20))
def test_actions_run_in_order_of_time_and_of_scheduling(plan: list[tuple[int, list[int]]]) -> None:
    timeline = Timeline()
    ran: list[tuple[int, int]] = []
    scheduled = 0

    def schedule(time_ms: int, later: list[int]) -> None:
        nonlocal scheduled
        scheduled += 1
        timeline.at(time_ms, run, max(time_ms, timeline.now_ms), scheduled, later)

    def run(due_ms: int, number: int, later: list[int]) -> None:
        assert timeline.now_ms == due_ms
        ran.append((due_ms, number))
        for delay_ms in later:
            schedule(timeline.now_ms + delay_ms, [])

    for time_ms, later in plan:
        schedule(time_ms, later)
    timeline.run_until(20)
    assert ran == sorted(ran)
    assert len(ran) == scheduled == timeline.actions_run
    assert len(timeline) == 0
    assert timeline.now_ms == 20


def test_time_stands_where_it_was_told_to_stop() -> None:
    timeline = Timeline()
    ran: list[str] = []
    timeline.at(10, ran.append, "at the end")
    timeline.at(11, ran.append, "behind it")
    timeline.run_until(10)
    assert (ran, timeline.now_ms, len(timeline)) == (["at the end"], 10, 1)


def test_condition_that_never_holds_is_a_violation() -> None:
    timeline = Timeline()
    timeline.after(50, lambda: None)
    assert timeline.run_until_true(lambda: timeline.actions_run > 0, 100, "something happens") == 100
    with pytest.raises(ViolationError, match="not within 30 ms: more happens"):
        timeline.run_until_true(lambda: timeline.actions_run > 1, 30, lambda: "more happens")
    assert timeline.now_ms == 130
