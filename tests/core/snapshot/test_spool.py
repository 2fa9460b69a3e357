"""The file where a state waits."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from consul_kernel.snapshot.archive import ArchiveError
from consul_kernel.snapshot.spool import Spool


async def test_what_was_appended_is_read_from_the_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.open()
    spool.append(b"ab")
    spool.append(b"c")
    assert (b"".join(spool.pieces()), spool.size) == (b"abc", 3)
    await spool.aclose()
    await spool.aclose()
    with pytest.raises(ArchiveError, match="given up"):
        spool.append(b"d")


async def test_a_file_that_is_made_after_the_end_is_closed(tmp_path: Path) -> None:
    """The thread that makes it goes on when the request that waits for it is cancelled."""
    spool = Spool(tmp_path)
    before = psutil.Process().num_fds()
    await spool.aclose()
    spool.open()
    assert psutil.Process().num_fds() == before
    with pytest.raises(ValueError, match="closed file"):
        spool.append(b"a")


async def test_a_file_is_closed_though_nobody_waits_for_that_any_more(tmp_path: Path) -> None:
    """Threads may be busy when a request is cancelled; what is cancelled before a thread takes it up is never done."""
    spool, busy = Spool(tmp_path), threading.Event()
    spool.open()
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        threads.submit(busy.wait)
        before = psutil.Process().num_fds()
        closing = asyncio.ensure_future(spool.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        busy.set()
    assert psutil.Process().num_fds() == before - 1
