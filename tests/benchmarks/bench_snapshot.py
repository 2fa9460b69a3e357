"""What archives of the whole state cost: `python tests/benchmarks/bench_snapshot.py [--keys N] [--value-bytes N]`.

First in one process, on both stores: time, CPU, and the longest turn that the event loop had to wait for, as CPU of its
thread, so that others do not count. Saving stands beside zlib and SHA-256 alone over the same bytes. Then over
HTTP, on one server and on three, and how soon they serve again after all were killed.
`--keys 8000 --value-bytes 131072` makes a state of a gigabyte. Run by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import http.client
import random
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from consul_kernel.agent.garbage import GarbageSearch  # noqa: E402
from consul_kernel.contracts.consensus import Configuration  # noqa: E402
from consul_kernel.contracts.store import SnapshotMeta, StoreContext  # noqa: E402
from consul_kernel.snapshot.archive import ArchiveMeta, write_archive  # noqa: E402
from consul_kernel.snapshot.encoding import encode_entry, encode_record, encode_value  # noqa: E402
from consul_kernel.snapshot.records import RecordType  # noqa: E402
from consul_kernel.snapshot.restorer import receive, restore  # noqa: E402
from consul_kernel.snapshot.saver import save_state  # noqa: E402
from consul_kernel.state import CommandType, ReplicatedState, encode_command  # noqa: E402
from consul_kernel.state.restore import RestoreRequest  # noqa: E402
from consul_kernel.structs.kv import DirEntry  # noqa: E402
from consul_kernel_disk import create  # noqa: E402
from consul_kernel_disk.config import DiskConfig  # noqa: E402
from consul_kernel_memory.store import MemoryStore  # noqa: E402
from harness.agents import AgentProcess, Cluster  # noqa: E402
from harness.waiting import wait_for  # noqa: E402

PIECE = 256 * 1024


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def records(keys: int, value_bytes: int) -> Iterator[bytes]:
    rng = random.Random(1)
    yield encode_value({"LastIndex": keys + 10})
    for n in range(keys):
        value = rng.randbytes(value_bytes)
        yield encode_entry(DirEntry(key=b"app/config/%08d" % n, value=value, create_index=n + 5, modify_index=n + 5))
    yield encode_record(RecordType.INDEX, {"Key": "kvs", "Value": keys + 5})


def pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def make_archive(folder: Path, keys: int, value_bytes: int) -> tuple[Path, Path]:
    """Files of the archive and of its state."""
    state, archive = folder / "state.bin", folder / "bench.snap"
    digest = hashlib.sha256()
    with state.open("wb") as file:
        for record in records(keys, value_bytes):
            digest.update(record)
            file.write(record)
    meta = ArchiveMeta(id=f"2-{keys + 10}-1", index=keys + 10, term=2, size=state.stat().st_size)
    with archive.open("wb") as file:
        for piece in write_archive(meta, pieces_of(state), digest.digest(), now_s=1):
            file.write(piece)
    return archive, state


class LongestTurn:
    """CPU that the loop's thread used between two of its turns, at most."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    async def watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self._longest_s = max(self._longest_s, now - last)
            last = now

    def take_ms(self) -> float:
        longest, self._longest_s = self._longest_s, 0.0
        return longest * 1000


class Figures:
    """The best of the rounds for each step, and the longest turn of all."""

    def __init__(self, turns: LongestTurn) -> None:
        self._turns = turns
        self.best: dict[str, tuple[float, float, float]] = {}

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        await asyncio.sleep(0.01)  # what came before is not this step's
        self._turns.take_ms()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        turn = self._turns.take_ms()
        known = self.best.get(name, (wall, cpu, turn))
        self.best[name] = (min(wall, known[0]), min(cpu, known[1]), max(turn, known[2]))

    def report(self) -> None:
        for name, (wall, cpu, turn) in self.best.items():
            say(f"  {name:<34}{wall:>8.3f} s {cpu:>8.3f} s CPU   longest turn {turn:>6.1f} ms")


class StoredSnapshot:
    """A raft snapshot in a file."""

    def __init__(self, path: Path, index: int) -> None:
        self._file = path.open("rb")
        self.meta = SnapshotMeta(id="bench", index=index, term=1, size=path.stat().st_size)

    async def read(self, max_bytes: int) -> bytes:
        return await asyncio.to_thread(self._file.read, max_bytes)

    def close(self) -> None:
        self._file.close()


async def one_round(state: ReplicatedState, folder: Path, archive: Path, figures: Figures) -> None:
    async def propose(request: RestoreRequest) -> object:
        command = encode_command(CommandType.RESTORE, request)
        await asyncio.sleep(0)
        return state.apply([(state.applied_index + 1, command)])[0]

    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces_of(archive):
            yield piece

    async with figures.step("receive and verify"):
        received = await receive(sent(), spool_folder=folder)
    async with figures.step("stage and replace"):
        await restore(received, propose)
    await received.aclose()
    async with figures.step("remove what was replaced"):
        while state.remove_waste(512):
            await asyncio.sleep(0)
    async with figures.step("save: records to a spool"):
        saved = await save_state(state, term=1, configuration=Configuration(), spool_folder=folder)
    async with figures.step("save: pack"):
        async for _ in saved.pieces():
            pass
    await saved.aclose()
    raft = folder / "raft.bin"
    await asyncio.to_thread(raft.unlink, missing_ok=True)
    async with figures.step("raft snapshot: take"):
        view = state.snapshot()
        with raft.open("wb") as file:
            for chunk in view.chunks():
                await asyncio.to_thread(file.write, chunk)
        view.close()
    source = StoredSnapshot(raft, state.applied_index)
    async with figures.step("raft snapshot: restore"):
        await state.restore(source)
    source.close()
    while state.remove_waste(4096):
        await asyncio.sleep(0)


def bare_packing(state: Path) -> float:
    """CPU of zlib and SHA-256 alone over the state's bytes."""
    packer, digest, cpu = zlib.compressobj(1, zlib.DEFLATED, 31), hashlib.sha256(), time.process_time()
    for piece in pieces_of(state):
        packer.compress(piece)
        digest.update(piece)
    packer.flush()
    return time.process_time() - cpu


async def in_process(folder: Path, archive: Path, state_file: Path, rounds: int) -> None:
    bare = bare_packing(state_file)
    for name in ("disk", "memory"):
        gc.collect()
        garbage = GarbageSearch()
        garbage.begin()
        turns = LongestTurn()
        watching = asyncio.ensure_future(turns.watch())
        store = create(StoreContext(data_dir=folder / "data"), DiskConfig()) if name == "disk" else MemoryStore()
        await store.start()
        state, figures = ReplicatedState(store.state), Figures(turns)
        for _ in range(rounds):
            await one_round(state, folder, archive, figures)
        say(f"{name} store")
        figures.report()
        saving = figures.best["save: records to a spool"][1] + figures.best["save: pack"][1]
        say(f"  saving, beside zlib and SHA-256 alone: {saving / bare:.1f} times their {bare:.3f} s of CPU")
        watching.cancel()
        await store.aclose()
        garbage.end()


def ask(agent: AgentProcess, method: str, body: Path | None = None) -> tuple[float, int]:
    """Seconds, and bytes of the answer. RuntimeError when it is none."""
    connection = http.client.HTTPConnection(agent.http, timeout=600)
    begun = time.perf_counter()
    if body is None:
        connection.request(method, "/v1/snapshot")
    else:
        with body.open("rb") as file:
            connection.request(method, "/v1/snapshot", body=file, headers={"Content-Length": str(body.stat().st_size)})
    response, size = connection.getresponse(), 0
    while piece := response.read(PIECE):
        size += len(piece)
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{method}: {response.status} {response.reason}")
    return time.perf_counter() - begun, size


def restart(servers: list[AgentProcess]) -> float:
    """Seconds from the start of the processes, which were killed, to a consistent read of one of them."""
    for server in servers:
        server.kill()
    begun = time.perf_counter()
    for server in servers:
        server.start()

    def serves() -> bool:
        return servers[0].ask("GET", "/v1/kv/app/config/00000042?consistent", timeout_s=60).status == 200

    wait_for(serves, "a consistent read", timeout_s=60)
    return time.perf_counter() - begun


def over_http(folder: Path, archive: Path, rounds: int) -> None:
    for count in (1, 3):
        cluster = Cluster(folder / f"servers{count}")
        try:
            servers = cluster.servers(count)
            servers[0].wait_leader()
            leader = cluster.leader()
            restores, saves = [], []
            for _ in range(rounds):
                restores.append(ask(leader, "PUT", archive)[0])
                time.sleep(1)
                saves.append(ask(leader, "GET")[0])
            relayed = [ask(each, "GET")[0] for each in servers if each is not leader]
            restarted = [restart(servers) for _ in range(rounds)]
        finally:
            cluster.close()
        say(f"{count} server{'s' if count > 1 else ''} over HTTP, best of {rounds}")
        say(f"  restore {min(restores):.2f} s, save {min(saves):.2f} s")
        say(f"  kill -9 of all, from the start of the processes to a consistent read {min(restarted):.2f} s")
        if relayed:
            say(f"  save through a follower {min(relayed):.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-bytes", type=int, default=45)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-http", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, state = make_archive(folder, arguments.keys, arguments.value_bytes)
        sizes = [file.stat().st_size / 1e6 for file in (state, archive)]
        say(f"{arguments.keys} keys, {sizes[0]:.0f} MB of state, {sizes[1]:.0f} MB packed")
        asyncio.run(in_process(folder, archive, state, arguments.rounds))
        if not arguments.no_http:
            over_http(folder, archive, arguments.rounds)


if __name__ == "__main__":
    main()
