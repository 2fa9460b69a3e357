from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.state.watches import KEY, KEY_PREFIX, NODE, Watches, WatchLimitError

keys = st.text(alphabet="ab/", max_size=4).map(str.encode)


@given(prefixes=st.lists(keys, max_size=8), key=keys)
def test_prefixes_wake_exactly_for_keys_under_them(prefixes: list[bytes], key: bytes) -> None:
    async def scene() -> None:
        watches = Watches()
        waits = [(prefix, asyncio.ensure_future(watches.watch([(KEY_PREFIX, prefix)]).wait(9))) for prefix in prefixes]
        await asyncio.sleep(0)
        watches.wake([(KEY, key)])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for prefix, task in waits:
            assert task.done() == key.startswith(prefix)
            task.cancel()
        await asyncio.gather(*(task for _, task in waits), return_exceptions=True)
        assert (len(watches), watches._waits, watches._prefix_lengths) == (0, {}, {})

    asyncio.run(scene())


async def test_any_of_its_topics_ends_a_wait_and_the_rest_is_forgotten() -> None:
    watches = Watches()
    watch = watches.watch([(KEY, b"a"), (NODE, b"n"), (KEY_PREFIX, b"p")])
    watches.wake([(NODE, b"m"), (KEY, b"b")])
    watches.wake([(NODE, b"n"), (KEY, b"a")])
    assert await watch.wait(9) is True
    assert (len(watches), watches._waits, watches._prefix_lengths) == (0, {}, {})


async def test_a_wait_ends_with_its_time() -> None:
    watches = Watches()
    assert await watches.watch([(KEY, b"a")]).wait(0.01) is False
    assert len(watches) == 0


async def test_a_wake_that_comes_before_the_wait_counts() -> None:
    watches = Watches()
    watch = watches.watch([(KEY, b"a")])
    watches.wake_all()
    assert await watch.wait(9) is True
    assert watches.epoch == 1


async def test_closing_twice_counts_once() -> None:
    watches = Watches()
    watch, other = watches.watch([(KEY, b"a")]), watches.watch([(KEY, b"a")])
    watch.close()
    watch.close()
    assert len(watches) == 1
    other.close()
    assert len(watches) == 0


async def test_watches_are_bounded() -> None:
    watches = Watches(max_watches=2)
    first, _ = watches.watch([(KEY, b"a")]), watches.watch([(KEY, b"a")])
    with pytest.raises(WatchLimitError):
        watches.watch([(KEY, b"b")])
    first.close()
    watches.watch([(KEY, b"b")])
    assert len(watches) == 2
