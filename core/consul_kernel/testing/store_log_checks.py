"""Checks of a store's log: clauses L of docs/contracts/store.md."""

from __future__ import annotations

import asyncio
from pathlib import Path

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry, LogStore, PromptLogStore

from .clauses import require
from .store_subject import Check, StoreSubject, entries, require_async_refusal, require_equal, require_refusal

ALL = 1 << 40


def _all(log: LogStore) -> list[LogEntry]:
    return list(log.entries(log.first_index, log.last_index, ALL))


async def check_l1_a_new_log_is_empty(subject: StoreSubject, folder: Path) -> None:
    """L1, L4, L5: bounds, hard state, terms and entries of a log that never had one."""
    async with subject.opened(folder) as store:
        log = store.log
        require_equal((log.first_index, log.last_index, log.hard_state), (1, 0, HardState()), "L1")
        require_equal((log.term(0), log.term(1), log.term(-1)), (0, None, None), "L4: terms of an empty log")
        require_equal(list(log.entries(1, 5, ALL)), [], "L5: entries of an empty log")
        await log.append([])
        require_equal(log.last_index, 0, "L1: an append of nothing")


async def check_l2_append_and_replace(subject: StoreSubject, folder: Path) -> None:
    """L2: appends, and replacements at the end, within, and of everything."""
    async with subject.opened(folder) as store:
        log = store.log
        model: list[LogEntry] = []
        runs = [
            (1, 5, 1),
            (6, 6, 1),
            (7, 40, 2),
            (35, 36, 3),
            (37, 90, 3),
            (2, 3, 4),
            (4, 4, 5),
            (1, 20, 6),
            (21, 30, 6),
        ]
        for first, last, term in runs:
            run = entries(first, last, term, b"x" * (term * 50))
            await log.append(run)
            model[first - 1 :] = run
            require_equal((log.first_index, log.last_index), (1, last), "L2: bounds")
            require(_all(log) == model, "L2: entries came back different")
            require([log.term(entry.index) for entry in model] == [entry.term for entry in model], "L4: terms")
        kinds = [LogEntry(31, 6, (1 << 32) - 1, b""), LogEntry(32, (1 << 63) - 1, 0, bytes(range(256)) * 5000)]
        await log.append(kinds)
        require(_all(log)[-2:] == kinds, "L2: extreme entries")


async def check_l3_what_does_not_join_is_refused(subject: StoreSubject, folder: Path) -> None:
    """L3: gaps, holes and compacted indexes change nothing, and the log goes on."""
    async with subject.opened(folder) as store:
        log = store.log
        await log.append(entries(1, 10, 1))
        before = _all(log)
        await require_async_refusal(log.append(entries(12, 13, 2), HardState(9, "x")), "L3: a gap")
        await require_async_refusal(log.append(entries(0, 3, 2)), "L3: index 0")
        await require_async_refusal(log.append([*entries(11, 11, 2), *entries(13, 13, 2)]), "L3: a hole")
        await require_async_refusal(log.append([*entries(11, 12, 2), *entries(11, 11, 2)]), "L3: a step back")
        require_equal((_all(log), log.hard_state), (before, HardState()), "L3: a refused append changed the log")
        await log.append(entries(11, 12, 2))
        require_equal(log.last_index, 12, "L3: the log goes on")
        await log.reset(100, 5)
        await require_async_refusal(log.append(entries(100, 101, 5)), "L3: what a snapshot covers")
        await log.append(entries(101, 101, 5))
        require_equal(log.last_index, 101, "L3: the log goes on after a reset")


async def check_l5_bounds_of_entries(subject: StoreSubject, folder: Path) -> None:
    """L5: the cut after max_bytes, the bounds, and what is not kept."""
    async with subject.opened(folder) as store:
        log = store.log
        await log.append([LogEntry(index, 1, 0, b"d" * 100) for index in range(1, 21)])
        for size, count in ((0, 1), (99, 1), (100, 1), (101, 1), (199, 1), (200, 2), (1000, 10), (ALL, 20)):
            found = log.entries(1, 20, size)
            require_equal([entry.index for entry in found], list(range(1, count + 1)), f"L5: max_bytes {size}")
        require_equal([entry.index for entry in log.entries(5, 7, ALL)], [5, 6, 7], "L5: within")
        require_equal([entry.index for entry in log.entries(20, 99, ALL)], [20], "L5: beyond the end")
        require_equal(list(log.entries(21, 25, ALL)), [], "L5: after the end")
        require_equal(list(log.entries(7, 6, ALL)), [], "L5: an inverted range")
        require_refusal(lambda: log.entries(0, 5, ALL), "L5: before the first")


async def check_l6_hard_state(subject: StoreSubject, folder: Path) -> None:
    """L6: set alone, with entries, and left as it is."""
    async with subject.opened(folder) as store:
        log = store.log
        await log.append([], HardState(1, "a"))
        require_equal((log.hard_state, log.last_index), (HardState(1, "a"), 0), "L6: alone")
        await log.append(entries(1, 3, 1))
        require_equal(log.hard_state, HardState(1, "a"), "L6: left as it is")
        await log.append(entries(2, 5, 2), HardState(2, "ü" * 200))
        require_equal((log.hard_state, log.last_index), (HardState(2, "ü" * 200), 5), "L6: with entries")
        await log.append([], HardState(3, ""))
        require_equal(log.hard_state, HardState(3), "L6: no vote")


async def check_l7_concurrent_appends(subject: StoreSubject, folder: Path) -> None:
    """L7: in the order of the calls, replacements and hard states among them; a refused one harms no other."""
    async with subject.opened(folder) as store:
        log = store.log
        calls = [log.append(entries(index, index, 1), HardState(index)) for index in range(1, 201)]
        calls += [log.append(entries(150, 160, 2)), log.append(entries(161, 161, 2)), log.append(entries(140, 141, 3))]
        outcome = await asyncio.gather(*calls, log.append(entries(500, 500, 3)), return_exceptions=True)
        require_equal([type(one).__name__ for one in outcome if one is not None], ["StoreError"], "L7: outcomes")
        require_equal((log.last_index, log.hard_state), (141, HardState(200)), "L7: the end")
        wanted = [*entries(1, 139, 1), *entries(140, 141, 3)]
        require(_all(log) == wanted, "L7: entries")
        await asyncio.gather(log.append(entries(142, 150, 3)), log.compact(145), log.append(entries(151, 151, 3)))
        require_equal(log.last_index, 151, "L7: with a compaction among them")


async def check_l8_compact(subject: StoreSubject, folder: Path) -> None:
    """L8, L4: what is after the index stays; the boundary's term is known; the end of the log is the limit."""
    async with subject.opened(folder) as store:
        log = store.log
        model: dict[int, LogEntry] = {}
        for first in range(1, 400, 10):
            run = entries(first, first + 9, first, b"x" * 300)
            await log.append(run, HardState(first, "me"))
            model.update({entry.index: entry for entry in run})
        furthest = 0
        for index in (5, 50, 50, 20, 199, 390):
            await log.compact(index)
            furthest = max(furthest, index)
            require(log.first_index <= furthest + 1, f"L8: compact({index}) forgot too much")
            require_equal(log.last_index, 400, "L8: last_index")
            require(_all(log) == [model[kept] for kept in range(log.first_index, 401)], "L8: entries")
            before = log.first_index - 1
            require_equal(log.term(before), model[before].term if before else 0, "L4: the boundary's term")
            require_equal((log.term(before - 1), log.term(401)), (None, None), "L4: terms out of bounds")
        await log.compact(9999)
        require_equal((log.last_index, log.term(400), log.hard_state), (400, 391, HardState(391, "me")), "L8: the end")
        await log.append(entries(401, 402, 500))
        require_equal((log.last_index, log.term(402)), (402, 500), "L8: the log goes on")
        await log.append(entries(402, 403, 501))
        require_equal((log.last_index, log.term(401), log.term(402)), (403, 500, 501), "L8: replaced afterwards")


async def check_l9_reset(subject: StoreSubject, folder: Path) -> None:
    """L9: beyond, within and before what was there."""
    async with subject.opened(folder) as store:
        log = store.log
        await log.append(entries(1, 50, 2), HardState(2, "me"))
        for index, term in ((100, 7), (120, 8), (110, 8), (10, 9)):
            await log.reset(index, term)
            require_equal((log.first_index, log.last_index), (index + 1, index), "L9: bounds")
            require_equal((log.term(index), log.term(index - 1), log.term(index + 1)), (term, None, None), "L9: terms")
            require_equal(log.hard_state, HardState(2, "me"), "L9: hard state")
            require_equal(list(log.entries(index + 1, index + 9, ALL)), [], "L9: entries")
            require_refusal(lambda at=index: log.entries(at, at, ALL), "L9: what is before")  # type: ignore[misc]
            await log.append(entries(index + 1, index + 30, term))
            require(_all(log) == entries(index + 1, index + 30, term), "L9: the log goes on")


async def check_l10_nothing_is_shown_too_early(subject: StoreSubject, folder: Path) -> None:
    """L10: an append that has not returned cannot be half seen; what has returned is seen."""
    async with subject.opened(folder) as store:
        log = store.log
        pending = asyncio.ensure_future(log.append(entries(1, 50, 1, b"x" * 2000), HardState(4, "me")))
        while not pending.done():
            seen = (log.last_index, log.term(50), log.hard_state)
            require(seen in ((0, None, HardState()), (50, 1, HardState(4, "me"))), f"L10: half an append: {seen}")
            await asyncio.sleep(0)
        await pending
        require_equal((log.last_index, log.term(50), log.hard_state), (50, 1, HardState(4, "me")), "L10")


async def check_l12_appends_that_call_back(subject: StoreSubject, folder: Path) -> None:
    """L12: as `append`, one after the other, each begun when the one before is done, among tasks that append."""
    async with subject.opened(folder) as store:
        log = store.log
        if not isinstance(log, PromptLogStore):
            return
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seen: list[tuple[int, StoreError | None]] = []

        def begin() -> None:
            first = 3 * len(seen) + 1
            if len(seen) == 20:
                ended.set_result(None)
            else:
                before = len(seen)
                log.append_then(entries(first, first + 2, 1), HardState(len(seen) + 1, "x"), done)
                require_equal(len(seen), before, "L12: told from within the call")

        def done(error: StoreError | None) -> None:
            require_equal(log.last_index, 3 * len(seen) + 3, "L12: told before it was there")
            seen.append((log.last_index, error))
            begin()

        begin()
        await ended
        require_equal(seen, [(3 * number, None) for number in range(1, 21)], "L12: outcomes")
        require_equal((log.last_index, log.hard_state), (60, HardState(20, "x")), "L12: bounds")
        refused: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
        log.append_then(entries(62, 62, 2), None, refused.set_result)
        require(isinstance(await refused, StoreError), "L12: a gap")
        await log.append(entries(61, 61, 1))
        require_equal((len(_all(log)), log.last_index), (61, 61), "L12: the log goes on")


LOG_CHECKS: tuple[Check, ...] = (
    check_l1_a_new_log_is_empty,
    check_l2_append_and_replace,
    check_l3_what_does_not_join_is_refused,
    check_l5_bounds_of_entries,
    check_l6_hard_state,
    check_l7_concurrent_appends,
    check_l8_compact,
    check_l9_reset,
    check_l10_nothing_is_shown_too_early,
    check_l12_appends_that_call_back,
)
