"""Checks that every kind of check passes, by the numbered clauses of docs/contracts/check.md.

Each is a coroutine of a `CheckCase`, which says what is probed. A plugin's suite subclasses `CheckContractTests`, gives
it a fixture `case`, and runs it with pytest-asyncio. Targets in the same event loop let go of connections that end, or
their tasks are taken for those of a probe.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from consul_kernel.contracts.check import OUTPUT_ALLOWANCE_BYTES, Check, CheckContext, CheckPlugin, Outcome
from consul_kernel.structs.check import CheckStatus

from .clauses import ClauseError, require

Keys = Mapping[str, Any]
"""Keys of a definition, as the plugin's record has them."""
Target = Callable[[], AbstractAsyncContextManager[Keys]]
"""Something to probe, there while the context lasts, and the keys of a definition of it."""

TIMEOUT_S = 5.0
OUTPUT_LIMIT_BYTES = 200
AT_ONCE = 20
CANCEL_S = 5.0
"""When a cancelled probe is given up; a sound one ends at once, but the machine may be busy."""
LISTEN_S = 0.1
"""How long a probe of a silent target is watched."""
TRIES = 5
"""How often it is watched before it is blamed for a loop that stands still: others may have held that up."""

NOT_A_PLUGINS = frozenset(
    {
        "id",
        "check_id",
        "name",
        "notes",
        "service_id",
        "token",
        "status",
        "interval",
        "timeout",
        "ttl",
        "success_before_passing",
        "failures_before_warning",
        "failures_before_critical",
        "deregister_critical_service_after",
        "output_max_size",
        "kind",
        "options",
    }
)
"""Fields of a definition that the kernel keeps for itself."""


@dataclass(frozen=True, kw_only=True)
class CheckCase:
    """A kind of check, and what it is tried on.

    `healthy` is passing while its context lasts and not afterwards; `sick` is not. `silent` keeps a probe waiting, and
    `chatty` says more than is kept; a kind that knows no such target leaves them out. `refused` are keys that make no
    sense together.
    """

    plugin: CheckPlugin
    healthy: Target
    sick: Target
    silent: Target | None = None
    chatty: Target | None = None
    refused: Sequence[Keys] = field(default=())

    def make(self, keys: Keys) -> Check:
        """A check of these keys."""
        context = CheckContext(
            check_id="c",
            name="check",
            service_id="",
            node_name="node1",
            datacenter="dc1",
            timeout_s=TIMEOUT_S,
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
            logger=logging.getLogger("consul_kernel.checks.kit"),
            rng=random.Random(1),
        )
        return self.plugin.create(context, self.plugin.config_type(**keys))


async def probed(check: Check) -> Outcome:
    """What the kernel makes of a probe. ClauseError for what is no outcome."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            outcome = await check.probe()
    except OSError as error:  # and TimeoutError, which is one
        return Outcome(CheckStatus.CRITICAL, str(error))
    except Exception as error:
        raise ClauseError(f"2.2: a probe raised {type(error).__name__}: {error}") from error
    require(isinstance(outcome, Outcome), f"2.1: a probe gave {outcome!r}")
    return outcome


async def settled(before: set[asyncio.Task[Any]]) -> bool:
    """Whether no task is left but those before, within `CANCEL_S`."""
    deadline_s = asyncio.get_running_loop().time() + CANCEL_S
    while asyncio.all_tasks() - before:
        if asyncio.get_running_loop().time() > deadline_s:
            return False
        await asyncio.sleep(0.001)
    return True


async def check_1_1_making_one_does_nothing(case: CheckCase) -> None:
    """1.1: `create` does no I/O: it needs no event loop, and any number can be made."""
    async with case.healthy() as keys:
        await asyncio.to_thread(lambda: [case.make(keys) for _ in range(AT_ONCE)])


async def check_1_2_the_record_has_the_keys_of_this_kind(case: CheckCase) -> None:
    """1.2: the record has the kind's key, a default for every key, and none that is the kernel's."""
    fields = {found.encode_name for found in msgspec.structs.fields(case.plugin.config_type)}
    require(case.plugin.name in fields, f"1.2: the record lacks the key {case.plugin.name!r}")
    require(not fields & NOT_A_PLUGINS, f"1.2: the kernel keeps {sorted(fields & NOT_A_PLUGINS)} for itself")
    case.plugin.config_type()


async def check_1_3_what_makes_no_sense_is_refused_by_the_record(case: CheckCase) -> None:
    """1.3: ValueError, such as KeyFaultError, from the record's `__post_init__`."""
    for keys in case.refused:
        try:
            case.plugin.config_type(**keys)
        except ValueError:
            continue
        raise ClauseError(f"1.3: {dict(keys)!r} is taken")


async def check_2_1_health_is_passing(case: CheckCase) -> None:
    """2.1: a healthy target is passing, again and again, with a text that says so."""
    async with case.healthy() as keys:
        check = case.make(keys)
        for _ in range(3):
            outcome = await probed(check)
            require(outcome.status is CheckStatus.PASSING, f"2.1: a healthy target is {outcome}")
            require(isinstance(outcome.output, str), f"2.1: the output is {outcome.output!r}")


async def check_2_2_sickness_is_not(case: CheckCase) -> None:
    """2.2: a sick target is warning or critical, or the probe raises OSError; nothing else is raised."""
    async with case.sick() as keys:
        outcome = await probed(case.make(keys))
        require(outcome.status in (CheckStatus.WARNING, CheckStatus.CRITICAL), f"2.2: a sick target is {outcome}")
        require(bool(outcome.output), "2.2: nothing is said of what is wrong")


async def check_2_3_every_probe_asks_anew(case: CheckCase) -> None:
    """2.3: one that was passing is not any more once its target is gone."""
    async with case.healthy() as keys:
        check = case.make(keys)
        await probed(check)
    outcome = await probed(check)
    require(outcome.status is not CheckStatus.PASSING, f"2.3: a target that is gone is {outcome}")


async def check_2_4_nothing_is_left_behind(case: CheckCase) -> None:
    """2.4: when a probe has ended, no task of it is left."""
    async with case.healthy() as keys, case.sick() as sick_keys:
        before = asyncio.all_tasks()
        for check in (case.make(keys), case.make(sick_keys)):
            await probed(check)
            require(await settled(before), "2.4: a task is left")


async def check_3_1_waiting_holds_up_nobody(case: CheckCase) -> None:
    """3.1: while a probe waits, the event loop goes on; when it is cancelled, it ends, and leaves nothing."""
    if case.silent is None:
        return
    async with case.silent() as keys:
        for _ in range(TRIES):
            turns = await _turns_while_probed(case.make(keys))
            if turns >= 5:
                return
    raise ClauseError(f"3.1: the loop turned {turns} times in {LISTEN_S} s")


async def _turns_while_probed(check: Check) -> int:
    """How often the loop turns while a silent target is probed, for `LISTEN_S`; then the probe is cancelled."""
    before = asyncio.all_tasks()
    probe = asyncio.ensure_future(check.probe())
    loop = asyncio.get_running_loop()
    started_s, turns = loop.time(), 0
    while loop.time() - started_s < LISTEN_S:
        await asyncio.sleep(0.001)
        turns += 1
    require(not probe.done(), "3.1: the probe of a silent target is over; is it silent?")
    probe.cancel()
    done, _ = await asyncio.wait([probe], timeout=CANCEL_S)
    require(bool(done) and probe.cancelled(), "3.1: a probe goes on when it is cancelled")
    require(await settled(before), "3.1: a cancelled probe leaves a task")
    return turns


async def check_3_2_checks_do_not_share(case: CheckCase) -> None:
    """3.2: many checks of a kind are probed at once, and each has its own outcome."""
    async with case.healthy() as keys, case.sick() as sick_keys:
        checks = [case.make(keys if number % 2 else sick_keys) for number in range(AT_ONCE)]
        outcomes = await asyncio.gather(*(probed(check) for check in checks))
        for number, outcome in enumerate(outcomes):
            is_passing = outcome.status is CheckStatus.PASSING
            require(is_passing == bool(number % 2), f"3.2: number {number} is {outcome}")


async def check_4_1_output_is_bounded(case: CheckCase) -> None:
    """4.1: no more of a target's words than `output_limit_bytes`, and `OUTPUT_ALLOWANCE_BYTES` around them."""
    async with (case.chatty or case.sick)() as keys:
        outcome = await probed(case.make(keys))
        size = len(outcome.output.encode("utf-8", "replace"))
        require(size <= OUTPUT_LIMIT_BYTES + OUTPUT_ALLOWANCE_BYTES, f"4.1: an output of {size} bytes")


CHECKS: tuple[Callable[[CheckCase], Awaitable[None]], ...] = tuple(
    value for name, value in sorted(globals().items()) if name.startswith("check_")
)
"""Every check, in the order of the clauses."""


class CheckContractTests:
    """Base of a plugin's suite. The subclass defines a fixture `case`."""

    async def test_1_1(self, case: CheckCase) -> None:
        await check_1_1_making_one_does_nothing(case)

    async def test_1_2(self, case: CheckCase) -> None:
        await check_1_2_the_record_has_the_keys_of_this_kind(case)

    async def test_1_3(self, case: CheckCase) -> None:
        await check_1_3_what_makes_no_sense_is_refused_by_the_record(case)

    async def test_2_1(self, case: CheckCase) -> None:
        await check_2_1_health_is_passing(case)

    async def test_2_2(self, case: CheckCase) -> None:
        await check_2_2_sickness_is_not(case)

    async def test_2_3(self, case: CheckCase) -> None:
        await check_2_3_every_probe_asks_anew(case)

    async def test_2_4(self, case: CheckCase) -> None:
        await check_2_4_nothing_is_left_behind(case)

    async def test_3_1(self, case: CheckCase) -> None:
        await check_3_1_waiting_holds_up_nobody(case)

    async def test_3_2(self, case: CheckCase) -> None:
        await check_3_2_checks_do_not_share(case)

    async def test_4_1(self, case: CheckCase) -> None:
        await check_4_1_output_is_bounded(case)
