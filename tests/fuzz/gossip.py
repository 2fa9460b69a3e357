"""Sends gossip that is damaged, forged or merely absurd, and says what must not happen and did.

    python tests/fuzz/gossip.py [--count 1000000] [--seed 1] [--processes N] [--batch B]

Every batch of 5,000 inputs is made from the seed and its own number: a fault is reported with the batch, and
`--batch` repeats that one alone. The inputs are packets, streams in arbitrary chunks, and both as each installed
cipher seals them. Nothing may raise, every table stays within its bound, and a counter rises for each input that
cannot be used. Exits with 1 after a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import logging
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parent.parent))

from consul_kernel_swim.core.packets import add_checksum, compress_message, join_messages
from fuzz.campaigns import PACKET_CAMPAIGNS, STREAM_CAMPAIGNS
from fuzz.gossip_corpus import PACKETS, STREAMS, Maker
from fuzz.gossip_victims import CoreVictim, SealedVictim, installed_ciphers
from fuzz.mutations import Mutator

BATCH_INPUTS = 5_000
CHECK_EVERY = 2_500
KEYS = (b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210")
GROWTH_MAX_BYTES = 8 << 20
"""Of what a process holds after its leanest batch: from the second third of its batches to the last."""
_LARGE_STATES_SHARE = 0.05
"""One costs as much as a thousand packets."""


@dataclass(slots=True)
class Outcome:
    """What one batch came to."""

    batch: int
    inputs: int = 0
    fault: str = ""
    slowest_s: float = 0.0
    process: int = 0
    resident_bytes: int = 0
    counters: Counter[str] = field(default_factory=Counter)


class Batch:
    """Some thousand inputs against one core and one sealing for each cipher.

    Every third batch lets hardly any time pass. Every fourth is a campaign, in which the core gets nothing else:
    clocks that somebody has set to the end of time would hide it.
    """

    def __init__(self, seed: int, number: int) -> None:
        self.number = number
        self._rng = rng = random.Random(f"{seed}/{number}")
        self._flood = number % 3 == 2
        campaigns = (*PACKET_CAMPAIGNS, *STREAM_CAMPAIGNS)
        campaign = campaigns[number // 4 % len(campaigns)] if number % 4 == 1 else None
        self._campaign = campaign(rng) if campaign is not None else None
        self._campaign_streams = campaign in STREAM_CAMPAIGNS
        self._maker = Maker(rng, rising=number % 4 == 3)
        # What is sealed is another each time: choices about it must not change the course of the rest.
        self._aside = aside = random.Random(f"{seed}/{number}/aside")
        wrappers = (
            add_checksum,
            compress_message,
            lambda data: join_messages([data[:30_000]] * 2),
            lambda data: b"\x07\x01" + len(data).to_bytes(4, "big")[2:] + data,
            lambda data: b"\x07\xff" + len(data).to_bytes(4, "big")[2:] + data,
            lambda data: b"\x08\x09" + data,
            lambda data: b"\x0a" + len(data).to_bytes(4, "big") + data,
            lambda data: b"\xf4\x04blue" + data,
        )
        self._mutator = Mutator(rng, (*PACKETS, *STREAMS), wrappers)
        self._forger = Mutator(aside, (*PACKETS, *STREAMS), wrappers)
        self._core = CoreVictim(rng)
        ciphers = installed_ciphers(KEYS)
        self._sealed = [
            SealedVictim(aside, cipher, label) for cipher in (None, *ciphers.values()) for label in (b"", b"blue")
        ]
        self.last_input = b""

    def run(self, inputs: int) -> Outcome:
        """Send them; a fault is in the outcome."""
        outcome = Outcome(self.number)
        loop = asyncio.new_event_loop()
        try:
            for number in range(inputs):
                self._one(loop)
                outcome.inputs += 1
                if number % CHECK_EVERY == CHECK_EVERY - 1:
                    self._check()
            self._check()
        except Exception:  # noqa: BLE001 - every fault is what we look for
            outcome.fault = f"{traceback.format_exc()}\ninput: {self.last_input[:2000].hex()}"
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        outcome.slowest_s = self._core.slowest_s
        outcome.counters.update(self._core.swim.counters)
        outcome.counters["streams_refused"] += self._core.refused_streams
        outcome.counters["sealed_refused"] += sum(victim.refusals for victim in self._sealed)
        return outcome

    def _check(self) -> None:
        self._core.check()
        for victim in self._sealed:
            victim.check()

    def _one(self, loop: asyncio.AbstractEventLoop) -> None:
        rng, kind = self._rng, self._rng.random()
        if kind < 0.8 and self._campaign is not None:
            self._campaign_step(self._campaign)
        elif kind < 0.55:
            self.last_input = packet = self._packet()
            self._core.packet(packet)
        elif kind < 0.8:
            self.last_input = stream = self._stream()
            self._core.stream(self._in_chunks(stream, rng))
        elif kind < 0.93:
            self._sealed_packet(rng.choice(self._sealed))
        else:
            self._sealed_stream(rng.choice(self._sealed), loop)
        if not self._flood or rng.random() < 0.001:
            self._core.wait(rng.choice((0, 0, 1, 5, 20, 100, 400)))

    def _campaign_step(self, campaign: Iterator[bytes]) -> None:
        if not self._campaign_streams:
            self.last_input = packet = next(campaign)
            self._core.packet(packet)
        elif self._rng.random() < _LARGE_STATES_SHARE:
            self.last_input = stream = next(campaign)
            self._core.stream([stream])

    def _packet(self) -> bytes:
        rng = self._rng
        data = rng.choice(PACKETS) if rng.random() < 0.3 else self._maker.packet()
        if rng.random() < 0.2:
            data = join_messages([data, *(self._maker.packet() for _ in range(rng.randrange(6)))])[:60_000]
        return data if rng.random() < 0.25 else self._mutator.mutate(data)

    def _stream(self) -> bytes:
        data = self._rng.choice(STREAMS) if self._rng.random() < 0.3 else self._maker.stream()
        return data if self._rng.random() < 0.3 else self._mutator.mutate(data)

    def _in_chunks(self, data: bytes, rng: random.Random) -> list[bytes]:
        size = rng.choice((1, 7, 100, 1400, 65_536)) if len(data) < 2_000 else rng.choice((500, 65_536))
        return [data[start : start + size] for start in range(0, len(data), size)]

    def _sealed_packet(self, victim: SealedVictim) -> None:
        plain = self._maker.packet()
        sealed = victim.seal_packet(plain)
        self.last_input = forged = self._forger.mutate(sealed)
        victim.honest(plain, sealed)
        if forged != sealed:
            victim.forged(forged, sealed)

    def _sealed_stream(self, victim: SealedVictim, loop: asyncio.AbstractEventLoop) -> None:
        served = self._rng.random() < 0.5
        sealed = victim.seal_stream(self._stream(), dialling=served)
        self.last_input = arrived = sealed if self._rng.random() < 0.3 else self._forger.mutate(sealed)
        victim.stream(sealed, self._in_chunks(arrived, self._aside), loop, served=served)


def run_batch(seed: int, number: int) -> Outcome:
    """One batch, in whatever process."""
    outcome = Batch(seed, number).run(BATCH_INPUTS)
    gc.collect()
    give_back()
    outcome.process, outcome.resident_bytes = os.getpid(), psutil.Process().memory_info().rss
    return outcome


def give_back() -> None:
    """Let glibc return what is free, so that a process is as large as what it holds."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def run_quietly() -> None:
    """What is refused is logged, which is not what a fuzzer is read for."""
    logging.getLogger("consul_kernel.swim").setLevel(logging.CRITICAL)


class Report:
    """Adds the outcomes up, and watches the memory of the processes."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._started_s = time.monotonic()
        self.inputs = 0
        self.faults: list[Outcome] = []
        self.slowest_s = 0.0
        self.counters: Counter[str] = Counter()
        self._resident: dict[int, list[int]] = {}

    def add(self, outcome: Outcome) -> None:
        """One more batch."""
        self.inputs += outcome.inputs
        self.slowest_s = max(self.slowest_s, outcome.slowest_s)
        self.counters += outcome.counters
        if outcome.fault:
            self.faults.append(outcome)
        self._resident.setdefault(outcome.process, []).append(outcome.resident_bytes)

    @property
    def growth_bytes(self) -> int:
        """By how much a process has grown, at most."""
        return max(map(_growth, self._resident.values()))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started_s

    def progress(self) -> str:
        """One line."""
        share = self.inputs / self._wanted
        return (
            f"{share:6.1%}  {self.inputs:,} inputs, {self.inputs / self.seconds:,.0f}/s, {len(self.faults)} faults, "
            f"slowest input {self.slowest_s * 1e3:.0f} ms, memory +{self.growth_bytes / 2**20:.1f} MiB"
        )

    @property
    def failed(self) -> bool:
        return bool(self.faults) or self.growth_bytes > GROWTH_MAX_BYTES or not self.counters


def _growth(resident: list[int]) -> int:
    third = len(resident) // 3
    return min(resident[-third:]) - min(resident[third : 2 * third]) if third else 0


def report(seed: int, count: int, processes: int) -> int:
    """Run the batches, with a line of progress; 1 after a fault."""
    os.environ["MALLOC_ARENA_MAX"] = "1"  # of the processes to come: what every thread's arena keeps is no growth
    batches = -(-count // BATCH_INPUTS)
    found = Report(batches * BATCH_INPUTS)
    with multiprocessing.get_context("spawn").Pool(processes, run_quietly) as pool:
        for outcome in pool.imap_unordered(partial(run_batch, seed), range(batches)):
            found.add(outcome)
            print(found.progress(), end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
    print(f"{found.progress()}\n{found.seconds:.0f} s on {processes} processes; what was counted:")
    for name, times in found.counters.most_common():
        print(f"  {name:32} {times:>12,}")
    for outcome in found.faults[:5]:
        print(f"\nFAULT in batch {outcome.batch} (--seed {seed} --batch {outcome.batch}):\n{outcome.fault}")
    if found.growth_bytes > GROWTH_MAX_BYTES:
        print(f"FAULT: a process grew by {found.growth_bytes:,} bytes")
    return 1 if found.failed else 0


def main() -> int:
    """Run the batches on all processors and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, help="repeat this batch alone")
    arguments = parser.parse_args()
    run_quietly()
    if arguments.batch is not None:
        outcome = run_batch(arguments.seed, arguments.batch)
        print(outcome.fault or f"batch {arguments.batch}: no fault, {outcome.inputs:,} inputs")
        return 1 if outcome.fault else 0
    return report(arguments.seed, arguments.count, arguments.processes)


if __name__ == "__main__":
    sys.exit(main())
