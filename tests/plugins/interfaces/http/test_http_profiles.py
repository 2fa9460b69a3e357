"""`/debug/pprof`: what a Python process can show of itself, where `enable_debug` allows it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from consul_kernel.structs.settings import HttpSettings
from consul_kernel_http.endpoints.profiles import profiler
from consul_kernel_http.profiles import MAX_DEPTH, Profiler, held_types, sample_stacks, stacks

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site


@pytest.fixture
async def open_site(serve: Serve) -> Site:
    return await serve(http=HttpSettings(enable_debug=True))


async def test_what_there_is(open_site: Site) -> None:
    index = await open_site.get("/debug/pprof/")
    assert index.status == 200
    assert "its profiles are texts" in index.text.lower()
    goroutine = await open_site.get("/debug/pprof/goroutine?debug=2")
    assert goroutine.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "thread MainThread:" in goroutine.text
    assert "task " in goroutine.text
    heap = await open_site.get("/debug/pprof/heap")
    assert " builtins.dict\n" in heap.text
    for name in ("trace", "block", "x/y"):
        unknown = await open_site.get(f"/debug/pprof/{name}")
        assert (unknown.status, unknown.text[:15]) == (404, "Unknown profile")


async def test_where_the_time_goes(open_site: Site) -> None:
    asking = asyncio.ensure_future(open_site.get("/debug/pprof/profile?seconds=1"))
    while not profiler.is_busy:
        await asyncio.sleep(0)
    second = await open_site.get("/debug/pprof/profile?seconds=1")
    assert (second.status, second.text) == (500, "Could not enable CPU profiling: cpu profiling already in use\n")
    got = await asking
    assert got.status == 200
    lines = [line.rpartition(" ") for line in got.text.splitlines()]
    assert sum(int(count) for _, _, count in lines) > 10
    assert any("run_forever" in stack or "run_until_complete" in stack for stack, _, _ in lines)


async def test_a_profile_ends_with_whoever_asked() -> None:
    profiler = Profiler()
    asking = asyncio.ensure_future(profiler.profile(600))
    await asyncio.sleep(0)
    assert await profiler.profile(600) is None
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await profiler.profile(0.02) is not None


async def test_a_task_that_waits_is_shown_where_it_does() -> None:
    async def somebody_waits() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(somebody_waits(), name="the-waiting-one")
    await asyncio.sleep(0)
    shown = stacks()
    task.cancel()
    part = shown[shown.index("task the-waiting-one:") :]
    assert "somebody_waits" in part.partition("\n\n")[0]


def test_a_deep_stack_is_cut() -> None:
    def deep(levels: int) -> str:
        return deep(levels - 1) if levels else stacks_of_this_thread()

    def stacks_of_this_thread() -> str:
        ended = iter([False, True])
        return sample_stacks(threading.get_ident(), 10, lambda _: next(ended))

    (line,) = deep(300).splitlines()
    assert line.count(";") == MAX_DEPTH - 1


def test_types_are_counted() -> None:
    first, *rest = held_types().splitlines()
    assert int(first.split()[0]) >= sum(int(line.split()[0]) for line in rest)
