"""The queue of broadcasts does what its rules say, put down here as plainly as can be."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel_swim.core.broadcasts import BroadcastQueue
from consul_kernel_swim.core.packets import COMPOUND_PART_BYTES

DEPTH = 12
NAMES = ("a", "b", "c", None)


@dataclass
class Queued:
    message: bytes
    name: str | None
    serial: int
    sends: int = 0


class PlainQueue:
    """Looks through everything, every time. `over` are the serial numbers of those that are done, in order."""

    def __init__(self) -> None:
        self.queued: list[Queued] = []
        self.serial = 0
        self.over: list[int] = []

    def put(self, message: bytes, name: str | None) -> None:
        for one in [one for one in self.queued if name is not None and one.name == name]:
            self._end(one)
        while len(self.queued) >= DEPTH:
            self._end(min(self.queued, key=lambda one: (-one.sends, len(one.message), one.serial)))
        self.serial += 1
        self.queued.append(Queued(message, name, self.serial))

    def take(self, free_bytes: int, parts_max: int, sends_max: int) -> list[bytes]:
        picked: list[Queued] = []
        for one in sorted(self.queued, key=lambda one: (one.sends, -len(one.message), -one.serial)):
            if len(picked) < parts_max and len(one.message) + COMPOUND_PART_BYTES <= free_bytes:
                free_bytes -= len(one.message) + COMPOUND_PART_BYTES
                picked.append(one)
        for one in picked:
            one.sends += 1
        for one in picked:
            if one.sends >= sends_max:
                self._end(one)
        return [one.message for one in picked]

    def _end(self, one: Queued) -> None:
        self.queued.remove(one)
        self.over.append(one.serial)


Put = tuple[int, str | None]
Take = tuple[int, int, int]
puts = st.tuples(st.integers(1, 9), st.sampled_from(NAMES))
takes = st.tuples(st.integers(-3, 60), st.integers(0, 8), st.integers(1, 4))


@settings(max_examples=150)
@given(st.lists(st.one_of(puts, takes), max_size=60))
def test_queue_does_what_the_rules_say(steps: list[Put | Take]) -> None:
    queue, plain = BroadcastQueue(DEPTH), PlainQueue()
    over: list[int] = []
    serial = 0
    for step in steps:
        if len(step) == 2:
            length, name = step
            serial += 1
            message = serial.to_bytes(1, "big") * length

            def done(number: int = serial) -> None:
                over.append(number)

            queue.put(message, name, done)
            plain.put(message, name)
        else:
            assert queue.take(*step) == plain.take(*step)
        assert queue.depth == len(queue) == len(plain.queued)
        assert over == plain.over


def test_message_that_is_queued_when_another_is_done_waits_with_the_others() -> None:
    queue = BroadcastQueue(DEPTH)
    queue.put(b"first", "name", lambda: queue.put(b"after", "other"))
    queue.put(b"second", "other")
    assert queue.take(100, 10, 1) == [b"second", b"first"]
    assert queue.take(100, 10, 1) == [b"after"]
    assert queue.depth == 0
