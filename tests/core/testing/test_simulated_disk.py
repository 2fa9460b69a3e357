"""The simulated disk: order, slowness, hanging, and what a crash leaves."""

from __future__ import annotations

import random
from functools import partial

import pytest

from consul_kernel.testing.simulation import Disk, DiskSpeed, Timeline

SPEED = DiskSpeed(write_ms=(1, 10))


def write(disk: Disk, durable: list[str], done: list[str], name: str, changes: int = 3) -> None:
    disk.write([partial(durable.append, f"{name}{number}") for number in range(changes)], partial(done.append, name))


@pytest.mark.parametrize("seed", range(20))
def test_writes_are_durable_in_order_and_told_of_then(seed: int) -> None:
    timeline, durable, done = Timeline(), list[str](), list[str]()
    disk = Disk(timeline, random.Random(seed), DiskSpeed(write_ms=(0, 5), slow_rate=0.5, slow_ms=(20, 50)))
    for name in "abc":
        write(disk, durable, done, name, 1)
    assert not durable
    for _ in range(200):
        timeline.run_for(1)
        assert [name[0] for name in durable] == done == list("abc")[: len(done)]
    assert len(done) == 3
    assert len(disk) == 0


def test_slow_writes_are_as_slow_as_they_are_said_to_be() -> None:
    timeline, done = Timeline(), list[str]()
    disk = Disk(timeline, random.Random(1), DiskSpeed(write_ms=(0, 0), slow_rate=1.0, slow_ms=(30, 30)))
    write(disk, [], done, "a")
    timeline.run_for(29)
    assert not done
    timeline.run_for(1)
    assert done == ["a"]


def test_a_crash_keeps_a_beginning_and_tells_nobody() -> None:
    left = set()
    for seed in range(200):
        timeline, durable, done = Timeline(), list[str](), list[str]()
        disk = Disk(timeline, random.Random(seed), SPEED)
        write(disk, durable, done, "a")
        write(disk, durable, done, "b", 2)
        disk.crash()
        timeline.run_for(1_000)
        assert not done
        assert durable == ["a0", "a1", "a2", "b0", "b1"][: len(durable)]
        left.add(len(durable))
    assert left == set(range(6)), "every beginning happens"


def test_what_was_flushed_survives_and_writing_goes_on() -> None:
    timeline, durable, done = Timeline(), list[str](), list[str]()
    disk = Disk(timeline, random.Random(3), SPEED)
    write(disk, durable, done, "a")
    timeline.run_for(10)
    disk.crash()
    assert durable == ["a0", "a1", "a2"]
    write(disk, durable, done, "b", 1)
    timeline.run_for(10)
    assert durable[3:] == ["b0"]
    assert done == ["a", "b"]


@pytest.mark.parametrize("mended", [False, True])
def test_a_disk_that_hangs_finishes_nothing_until_it_goes_on(mended: bool) -> None:
    timeline, durable, done = Timeline(), list[str](), list[str]()
    disk = Disk(timeline, random.Random(4), SPEED)
    write(disk, durable, done, "a", 1)
    disk.hang(500)
    timeline.run_for(400)
    write(disk, durable, done, "b", 1)
    assert not done
    if mended:
        disk.mend()
        write(disk, durable, done, "c", 1)
    timeline.run_for(0)
    assert done == (["a", "b"] if mended else [])
    timeline.run_for(99)
    assert done == (["a", "b", "c"] if mended else [])
    timeline.run_for(101)
    assert done == (["a", "b", "c"] if mended else ["a", "b"])
    assert [name[0] for name in durable] == done
