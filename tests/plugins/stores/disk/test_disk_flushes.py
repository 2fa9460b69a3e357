"""When the log flushes, and what a full disk does to the state."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

from consul_kernel.contracts.store import HardState, StoreContext
from consul_kernel.testing.store_subject import entries
from consul_kernel_disk.config import DiskConfig
from consul_kernel_disk.files import Files
from consul_kernel_disk.store import DiskStore


class GatedFiles(Files):
    """A disk whose flushes finish when the test says so."""

    def __init__(self) -> None:
        self.open_gate = threading.Event()
        self.open_gate.set()
        self.flushing = threading.Event()
        self.flushes = 0

    def flush(self, descriptor: int) -> None:
        self.flushes += 1
        self.flushing.set()
        assert self.open_gate.wait(30)
        super().flush(descriptor)


async def test_what_comes_while_a_flush_is_under_way_goes_out_together_in_the_next(quick_path: Path) -> None:
    """Batch n+1 gathers while batch n is written, and the event loop waits for neither."""
    files = GatedFiles()
    store = DiskStore(StoreContext(data_dir=quick_path), DiskConfig(), files)
    await store.start()
    files.open_gate.clear()
    files.flushing.clear()
    files.flushes = 0
    appends = [asyncio.create_task(store.log.append(entries(1, 1, 1), HardState(1)))]
    await asyncio.to_thread(files.flushing.wait, 30)
    for number in range(2, 51):
        appends.append(asyncio.create_task(store.log.append(entries(number, number, 1))))
        await asyncio.sleep(0)
    assert store.log.last_index == 0
    assert not any(append.done() for append in appends)
    files.open_gate.set()
    await asyncio.gather(*appends)
    assert store.log.last_index == 50
    assert files.flushes == 2
    await store.aclose()


PROGRAM = """
import asyncio, resource, sys
from pathlib import Path
from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import StoreContext
from consul_kernel_disk.config import DiskConfig
from consul_kernel_disk.store import DiskStore

async def main():
    folder = Path(sys.argv[1])
    store = DiskStore(StoreContext(data_dir=folder), DiskConfig(segment_bytes=4096))
    await store.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    completed = 0
    try:
        while True:
            with store.state.write() as batch:
                for number in range(50):
                    batch.put("kv", b"%06d" % (completed * 50 + number), bytes(1000))
            completed += 1
    except StoreError as error:
        print(error)
    assert 5 < completed < 40, completed
    for _ in range(2):
        assert len(list(store.state.range("kv"))) == 50 * completed
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with store.state.write() as batch:
        batch.put("kv", b"after", b"there is room again")
    assert len(list(store.state.range("kv"))) == 50 * completed + 1
    await store.aclose()

asyncio.run(main())
"""


def test_a_full_disk_undoes_the_batch_and_no_other(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "state: " in ran.stdout
