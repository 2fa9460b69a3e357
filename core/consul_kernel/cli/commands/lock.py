"""`consul-kernel lock`."""

from __future__ import annotations

import signal
import threading
import time
from enum import Enum, auto
from queue import SimpleQueue
from types import FrameType

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_FAILURE, EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.cli.locking.child import Child
from consul_kernel.cli.locking.lock import Lock
from consul_kernel.cli.locking.pairs import Deadline, LockInUseError
from consul_kernel.cli.locking.semaphore import Semaphore
from consul_kernel.cli.locking.session import KeptSession
from consul_kernel.structs.duration import DurationError, parse_duration_ns

EXIT_CHILD_FAILED = 2
MONITOR_RETRY_S = 1.0
_LOCK_KEY = ".lock"
_NANOSECONDS_PER_S = 1e9


class _Happened(Enum):
    """What ends the time with the child."""

    CHILD_EXITED = auto()
    LOCK_LOST = auto()
    SIGNALLED = auto()


class _InterruptedError(Exception):
    """A signal came before there was a child."""


def _run(arguments: Arguments) -> int:
    if len(arguments.positional) < 2:
        return fail("Key prefix and child command must be specified")
    if arguments.number("n") < 1:
        return fail("Lock holder limit must be positive")
    if arguments.number("monitor-retry") < 0:
        return fail("Number for 'monitor-retry' must be >= 0")
    prefix = arguments.positional[0].strip("/")
    if not prefix:
        return fail("Key prefix must not be empty")
    wait_s = None
    if arguments.text("try"):
        try:
            wait_s = parse_duration_ns(arguments.text("try")) / _NANOSECONDS_PER_S
        except DurationError as error:
            return fail(f"Error parsing duration for 'try' option: {error}")
        if wait_s <= 0:
            return fail("Duration for 'try' option must be positive")
    child = " ".join(arguments.positional[1:])
    client = AgentClient(arguments)
    name = arguments.text("name") or f"Consul lock for '{child}' at '{prefix}'"
    # What tells of a contender for a semaphore has no use without it; the key of a lock may have other contenders.
    session = KeptSession(client, name, deletes=arguments.number("n") > 1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        session.open()
        try:
            return _with_session(arguments, _make_lock(arguments, client, prefix, session.id), Deadline(wait_s))
        finally:
            session.close()
    except AgentError as error:
        return fail(f"Lock acquisition failed: {error}")
    except _InterruptedError:
        return fail("Shutdown triggered or timeout during lock acquisition")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _InterruptedError


def _make_lock(arguments: Arguments, client: AgentClient, prefix: str, session: str) -> Lock | Semaphore:
    limit, key = arguments.number("n"), f"{prefix}/{_LOCK_KEY}"
    return Lock(client, key, session) if limit == 1 else Semaphore(client, prefix, key, limit, session)


def _with_session(arguments: Arguments, lock: Lock | Semaphore, deadline: Deadline) -> int:
    if not lock.acquire(deadline):
        return fail("Shutdown triggered or timeout during lock acquisition")
    return _with_lock(arguments, lock)


def _with_lock(arguments: Arguments, lock: Lock | Semaphore) -> int:
    """Run the child, let go of the lock after it, and tidy up."""
    happened: SimpleQueue[_Happened] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: happened.put(_Happened.SIGNALLED))
    retries = arguments.number("monitor-retry")
    threading.Thread(target=_watch, args=(lock, retries, happened), name="lock-monitor", daemon=True).start()
    code = EXIT_OK
    try:
        child = Child(
            arguments.positional[1:],
            shell=arguments.is_set("shell"),
            pass_stdin=arguments.is_set("pass-stdin"),
            on_exit=lambda: happened.put(_Happened.CHILD_EXITED),
        )
    except OSError as error:
        code = fail(f"Error executing child: {error}")
    else:
        what = happened.get()
        _tell(arguments, _MEANINGS[what])
        if what is not _Happened.CHILD_EXITED:
            child.end()
        elif child.failed and arguments.is_set("child-exit-code"):
            code = EXIT_CHILD_FAILED
    return _let_go(arguments, lock) or code


_MEANINGS = {
    _Happened.CHILD_EXITED: "Child terminated, releasing lock",
    _Happened.LOCK_LOST: "Lock lost, killing child",
    _Happened.SIGNALLED: "Shutdown triggered, killing child",
}


def _watch(lock: Lock | Semaphore, retries: int, happened: SimpleQueue[_Happened]) -> None:
    """Tell when the lock is lost, or when nobody can say any more whether it is."""
    index, failures = 0, 0
    while True:
        try:
            index, held = lock.still_held(index)
        except AgentError:
            failures += 1
            if failures > retries:
                break
            index = 0
            time.sleep(MONITOR_RETRY_S)
        else:
            failures = 0
            if not held:
                break
    happened.put(_Happened.LOCK_LOST)


def _let_go(arguments: Arguments, lock: Lock | Semaphore) -> int:
    try:
        lock.release()
    except AgentError as error:
        return fail(f"Lock release failed: {error}")
    try:
        lock.clean_up()
    except LockInUseError:
        _tell(arguments, "Cleanup aborted, lock in use")
    except AgentError as error:
        fail(f"Lock cleanup failed: {error}")
        return EXIT_FAILURE
    else:
        _tell(arguments, "Cleanup succeeded")
    return EXIT_OK


def _tell(arguments: Arguments, text: str) -> None:
    if arguments.is_set("verbose"):
        print(text, flush=True)


COMMANDS = (
    Command(
        "lock",
        "lock [options] PREFIX CHILD...",
        "Runs a program while it holds a lock",
        _run,
        (
            *CLIENT_FLAGS,
            *(flag for flag in SERVER_FLAGS if flag.name == "datacenter"),  # locks are never read stale
            Flag("n", FlagType.INT, "How many may hold it at once; beyond one it is a semaphore.", default=1),
            Flag("name", FlagType.TEXT, "Name of the session; one that tells the child and the prefix unless given."),
            Flag("try", FlagType.TEXT, "Give up after this time, such as 10s; without it, wait for ever."),
            Flag(
                "monitor-retry",
                FlagType.INT,
                "How often in a row the agent may fail to say whether the lock is still held before it counts as lost.",
                default=3,
            ),
            Flag("child-exit-code", FlagType.BOOL, "Exit with 2 when the child exits with an error."),
            Flag("pass-stdin", FlagType.BOOL, "Let the child read our standard input."),
            Flag("shell", FlagType.BOOL, "Run the child by a shell (SHELL, or /bin/sh).", default=True),
            Flag("verbose", FlagType.BOOL, "Tell what happens."),
        ),
        "Takes the lock at PREFIX/.lock, waits for it if need be, and runs the child while it is held. When the lock "
        "is lost, or on SIGINT or SIGTERM, the child gets SIGTERM, and 5 s later SIGKILL. CONSUL_LOCK_HELD is true in "
        "the child's environment.",
    ),
)
