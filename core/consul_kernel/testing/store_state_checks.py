"""Checks of a store's state: clauses K, B and V of docs/contracts/store.md."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from consul_kernel.contracts.store import MAX_KEY_BYTES, StateReader, StateStore

from .clauses import require
from .store_subject import Check, StoreSubject, require_equal, require_refusal


def _fill(state: StateStore, rows: dict[bytes, bytes], table: str = "kv") -> None:
    with state.write() as batch:
        for key, value in rows.items():
            batch.put(table, key, value)


def _rows(view: StateReader, table: str = "kv") -> list[tuple[bytes, bytes]]:
    return list(view.range(table))


def awkward_keys() -> Sequence[bytes]:
    """Keys on which a store's order breaks first: of every length up to the longest, with long common prefixes."""
    rng = random.Random(7)
    lengths = (1, 2, 100, 439, 440, 441, 479, 480, 500, 509, 510, 511, 512, 513, 880, 881, 1024, MAX_KEY_BYTES)
    found = {b"\x00", b"\xff", b"\x00\x00", b"a", b"a\x00", b"a\x00\x00", b"a/", b"a0", b"b"}
    for length in lengths:
        for byte in (b"\x00", b"a", b"\xff"):
            found.add(byte * length)
            found.add((byte * length)[:-1] + bytes([rng.randrange(256)]))
            found.add(bytes(rng.choice(b"ab") for _ in range(length)))
    return sorted(found)


async def check_k1_keys_and_values(subject: StoreSubject, folder: Path) -> None:
    """K1: keys of 1 to MAX_KEY_BYTES, any value; other keys are refused."""
    async with subject.opened(folder) as store:
        rows = {b"k": b"", b"\x00": b"\x00", b"x" * MAX_KEY_BYTES: b"v" * 600_000}
        _fill(store.state, rows)
        for key, value in rows.items():
            require_equal(store.state.get("kv", key), value, "K1")
        with store.state.write() as batch:
            require_refusal(lambda: batch.put("kv", b"", b"v"), "K1: an empty key")
            require_refusal(lambda: batch.put("kv", b"x" * (MAX_KEY_BYTES + 1), b"v"), "K1: a key too long")
            batch.put("kv", b"after", b"v")
        require_equal(store.state.get("kv", b"after"), b"v", "K1: a refused put harmed its batch")


async def check_k2_tables_are_independent(subject: StoreSubject, folder: Path) -> None:
    """K2: the same key in several tables, names that begin alike, and tables that vanish with their last key."""
    async with subject.opened(folder) as store:
        names = ["a", "a.b", "aa", "b", "é", "z" * 64]
        with store.state.write() as batch:
            for name in names:
                batch.put(name, b"key", name.encode())
                batch.put(name, b"l" * 1000, b"long")
        require_equal(list(store.state.tables()), sorted(names), "K2: tables")
        for name in names:
            require_equal(
                _rows(store.state, name), [(b"key", name.encode()), (b"l" * 1000, b"long")], f"K2: table {name}"
            )
        with store.state.write() as batch:
            batch.delete("aa", b"key")
            batch.delete("aa", b"l" * 1000)
            require("aa" not in batch.tables(), "K2: an empty table is listed in the batch")
        require("aa" not in store.state.tables(), "K2: an empty table is listed")
        require_equal(_rows(store.state, "aa"), [], "K2: an empty table has rows")


async def check_k3_what_is_absent_is_none(subject: StoreSubject, folder: Path) -> None:
    """K3: absent keys and tables, empty and over-long keys."""
    async with subject.opened(folder) as store:
        require_equal(store.state.get("none", b"k"), None, "K3: an absent table")
        _fill(store.state, {b"k": b"v", b"l" * 1000: b"v"})
        for key in (b"", b"j", b"kk", b"l" * 999, b"l" * 1001, b"l" * 440, b"l" * (MAX_KEY_BYTES + 1)):
            require_equal(store.state.get("kv", key), None, f"K3: a key of {len(key)} bytes")
        require_equal(list(store.state.range("none")), [], "K3: a range of an absent table")


async def check_k4_ranges(subject: StoreSubject, folder: Path) -> None:
    """K4: bounds are inclusive below and exclusive above; empty and inverted ranges; reverse."""
    async with subject.opened(folder) as store:
        keys = [b"a", b"b", b"b/1", b"b/2", b"c", b"\xff", b"\xff\xff"]
        _fill(store.state, {key: key for key in keys})
        bounds = [b"", b"a", b"a\x00", b"b", b"b/", b"b/2", b"b0", b"c", b"d", b"\xff", b"\xff\xff", b"\xff\xff\xff"]
        for start in bounds:
            for stop in (*bounds, None):
                wanted = [key for key in keys if key >= start and (stop is None or key < stop)]
                found = [key for key, _ in store.state.range("kv", start, stop)]
                require_equal(found, wanted, f"K4: from {start!r} to {stop!r}")
                back = [key for key, _ in store.state.range("kv", start, stop, reverse=True)]
                require_equal(back, wanted[::-1], f"K4: back from {stop!r} to {start!r}")


async def check_k5_order_of_keys_of_every_length(subject: StoreSubject, folder: Path) -> None:
    """K5: all bounds of all lengths, then with every other key deleted."""
    async with subject.opened(folder) as store:
        keys = list(awkward_keys())
        for table in ("before", "kv", "kw"):
            _fill(store.state, {key: key[-4:] for key in random.Random(3).sample(keys, len(keys))}, table)
        _check_order(store.state, keys)
        with store.state.write() as batch:
            for key in keys[::2]:
                require(batch.delete("kv", key), "K5: delete")
            require(not batch.delete("kv", keys[0]), "K5: delete again")
            _check_order(batch, keys[1::2])
        _check_order(store.state, keys[1::2])
        with store.state.write() as batch:
            for key in keys[1::2]:
                batch.delete("kv", key)
        require_equal(list(store.state.tables()), ["before", "kw"], "K5: traces of deleted keys")


def _check_order(view: StateReader, keys: Sequence[bytes]) -> None:
    for start in (b"", *keys[::7]):
        for stop in (None, *keys[3::11]):
            wanted = [(key, key[-4:]) for key in keys if key >= start and (stop is None or key < stop)]
            require(list(view.range("kv", start, stop)) == wanted, "K5: a range is out of order")
            require(list(view.range("kv", start, stop, reverse=True)) == wanted[::-1], "K5: a reverse range")


async def check_b1_b2_who_sees_an_open_batch(subject: StoreSubject, folder: Path) -> None:
    """B1, B2, B3: the batch sees its writes, the store does not see them before the end."""
    async with subject.opened(folder) as store:
        state = store.state
        _fill(state, {b"a": b"1", b"b": b"2", b"c": b"3"})
        before = _rows(state)
        with state.write() as batch:
            batch.put("kv", b"aa", b"new")
            batch.put("kv", b"b", b"changed")
            batch.delete("kv", b"c")
            batch.put("other", b"x", b"y")
            after = [(b"a", b"1"), (b"aa", b"new"), (b"b", b"changed")]
            require_equal(_rows(batch), after, "B1: range")
            require_equal(list(batch.range("kv", reverse=True)), after[::-1], "B1: reverse range")
            require_equal((batch.get("kv", b"b"), batch.get("kv", b"c")), (b"changed", None), "B1: get")
            require_equal(list(batch.tables()), ["kv", "other"], "B1: tables")
            require_equal(_rows(state), before, "B2: range")
            require_equal(list(state.range("kv", reverse=True)), before[::-1], "B2: reverse range")
            require_equal((state.get("kv", b"b"), state.get("kv", b"aa")), (b"2", None), "B2: get")
            require_equal(list(state.tables()), ["kv"], "B2: tables")
        require_equal(_rows(state), after, "B3")


async def check_b4_a_failed_batch_is_undone(subject: StoreSubject, folder: Path) -> None:
    """B4, B6: nothing of it stays, a clear included, and the exception goes through."""
    async with subject.opened(folder) as store:
        state = store.state
        _fill(state, {b"a": b"1", b"b" * 900: b"2", b"c": b"3"})
        before = _rows(state)

        for clear in (False, True):
            went_through = False
            try:
                _fail_in_a_batch(state, clear)
            except _StopError:
                went_through = True
            require(went_through, "B4: the exception was swallowed")
            require_equal(_rows(state), before, "B4")
            require_equal(list(state.tables()), ["kv"], "B4: tables")


class _StopError(Exception):
    """Ends a batch."""


def _fail_in_a_batch(state: StateStore, clear: bool) -> None:
    with state.write() as batch:
        batch.put("kv", b"a", b"x")
        batch.put("new", b"a", b"x")
        batch.delete("kv", b"b" * 900)
        if clear:
            batch.clear()
            require_equal(list(batch.tables()), [], "B6: clear")
        batch.put("kv", b"z" * 900, b"x")
        raise _StopError


async def check_b5_one_batch_at_a_time(subject: StoreSubject, folder: Path) -> None:
    """B5: a second batch is refused and the first goes on. B7: a writer ends with its block."""
    async with subject.opened(folder) as store:
        with store.state.write() as batch:
            batch.put("kv", b"a", b"1")
            require_refusal(lambda: store.state.write().__enter__(), "B5: a second batch")
            batch.put("kv", b"b", b"2")
        require_equal(_rows(store.state), [(b"a", b"1"), (b"b", b"2")], "B5: the first batch")
        require_refusal(lambda: batch.put("kv", b"c", b"3"), "B7: put after the end")
        require_refusal(lambda: batch.delete("kv", b"a"), "B7: delete after the end")
        require_refusal(batch.clear, "B7: clear after the end")
        require_equal(len(_rows(store.state)), 2, "B7")


async def check_b6_clear(subject: StoreSubject, folder: Path) -> None:
    """B6: clear, then fill again, in one batch."""
    async with subject.opened(folder) as store:
        for table in ("a", "b", "c"):
            _fill(store.state, {b"%d" % number: b"v" for number in range(100)} | {b"l" * 1500: b"v"}, table)
        with store.state.write() as batch:
            batch.clear()
            batch.put("b", b"only", b"v")
        require_equal(list(store.state.tables()), ["b"], "B6: tables")
        require_equal(_rows(store.state, "b"), [(b"only", b"v")], "B6: rows")


async def check_v1_snapshots_are_frozen(subject: StoreSubject, folder: Path) -> None:
    """V1, V4: many views, each of its own moment, while everything changes."""
    async with subject.opened(folder) as store:
        rng = random.Random(11)
        keys = [*awkward_keys()[::3], *(b"%04d" % number for number in range(300))]
        views = []
        for _ in range(64):
            with store.state.write() as batch:
                for key in rng.sample(keys, 40):
                    if rng.random() < 0.4:
                        batch.delete("kv", key)
                    else:
                        batch.put("kv", key, b"%d" % rng.randrange(1000))
            views.append((store.state.snapshot(), _rows(store.state)))
        with store.state.write() as batch:
            batch.clear()
        for view, wanted in views:
            require(_rows(view) == wanted, "V1: a snapshot changed")
            require(list(view.range("kv", reverse=True)) == wanted[::-1], "V1: a snapshot changed (reverse)")
            require(all(view.get("kv", key) == dict(wanted).get(key) for key in keys), "V1: get")
            require_equal(list(view.tables()), ["kv"], "V1: tables")
            view.close()
            view.close()
            require_refusal(lambda gone=view: gone.get("kv", b"0000"), "V4: a closed view")  # type: ignore[misc]


async def check_v2_ranges_survive_writes(subject: StoreSubject, folder: Path) -> None:
    """V2: the table changes between the steps of a snapshot's range, in both directions."""
    async with subject.opened(folder) as store:
        rows = {b"%05d" % number: b"old" for number in range(0, 6000, 2)}
        _fill(store.state, rows)
        for reverse in (False, True):
            rng = random.Random(5)
            before = _rows(store.state)
            view = store.state.snapshot()
            found = []
            for number, pair in enumerate(view.range("kv", reverse=reverse)):
                found.append(pair)
                if number % 50 == 0:
                    with store.state.write() as batch:
                        for _ in range(20):
                            key = b"%05d" % rng.randrange(6000)
                            if not batch.delete("kv", key):
                                batch.put("kv", key, b"new")
                            batch.put("kv", b"%05d" % rng.randrange(6000), b"changed")
            require(found == (before[::-1] if reverse else before), "V2: writes disturbed a snapshot's range")
            view.close()


async def check_v3_snapshots_during_a_batch(subject: StoreSubject, folder: Path) -> None:
    """V3: a view taken inside a batch does not see it."""
    async with subject.opened(folder) as store:
        state = store.state
        _fill(state, {b"a": b"1", b"b": b"2"})
        before = _rows(state)
        with state.write() as batch:
            batch.put("kv", b"a", b"x")
            batch.delete("kv", b"b")
            view = state.snapshot()
            batch.put("kv", b"c", b"y")
            require_equal(_rows(view), before, "V3: before the end of the batch")
        require_equal(_rows(view), before, "V3: after the end of the batch")
        require_equal(_rows(state), [(b"a", b"x"), (b"c", b"y")], "V3: the batch itself")
        view.close()


STATE_CHECKS: tuple[Check, ...] = (
    check_k1_keys_and_values,
    check_k2_tables_are_independent,
    check_k3_what_is_absent_is_none,
    check_k4_ranges,
    check_k5_order_of_keys_of_every_length,
    check_b1_b2_who_sees_an_open_batch,
    check_b4_a_failed_batch_is_undone,
    check_b5_one_batch_at_a_time,
    check_b6_clear,
    check_v1_snapshots_are_frozen,
    check_v2_ranges_survive_writes,
    check_v3_snapshots_during_a_batch,
)
