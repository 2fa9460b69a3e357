"""Lock delays: how long they last, and how many there can be."""

from __future__ import annotations

from consul_kernel.state.lock_delays import LockDelays

SECOND_NS = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1000

    def __call__(self) -> int:
        return self.now_ms


def test_a_delay_holds_until_its_time() -> None:
    clock = Clock()
    delays = LockDelays(clock)
    delays.begin([(b"a", SECOND_NS), (b"b", 2 * SECOND_NS), (b"c", 1)])
    assert [delays.holds(key) for key in (b"a", b"b", b"c", b"d")] == [True, True, True, False]
    clock.now_ms += 999
    assert [delays.holds(key) for key in (b"a", b"b", b"c")] == [True, True, False]
    clock.now_ms += 1
    assert [delays.holds(key) for key in (b"a", b"b")] == [False, True]


def test_the_last_delay_of_a_key_counts() -> None:
    clock = Clock()
    delays = LockDelays(clock)
    delays.begin([(b"a", SECOND_NS)])
    clock.now_ms += 500
    delays.begin([(b"a", SECOND_NS)])
    clock.now_ms += 600
    delays.begin([])
    assert delays.holds(b"a")
    clock.now_ms += 400
    assert not delays.holds(b"a")


def test_what_is_over_takes_no_room_and_what_is_too_much_ends_early() -> None:
    clock = Clock()
    delays = LockDelays(clock, max_delays=3)
    delays.begin((b"%d" % number, (number + 1) * SECOND_NS) for number in range(5))
    assert [delays.holds(b"%d" % number) for number in range(5)] == [False, False, True, True, True]
    clock.now_ms += 60_000
    delays.begin([(b"x", SECOND_NS)])
    assert len(delays) == 1
    delays.clear()
    assert not delays.holds(b"x")
