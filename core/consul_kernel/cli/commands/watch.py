"""`consul-kernel watch`: a view of the servers' data, shown once, or handed to a program each time it has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.structs.watch import WatchDefinition
from consul_kernel.watching.plan import TYPES, Plan, faults
from consul_kernel.watching.progress import Progress
from consul_kernel.watching.results import encode_result

INDENT = 4
KILL_GRACE_S = 5.0
"""How long the program may take to end once it is told to; then it is killed."""
_INDEX_VARIABLE = "CONSUL_INDEX"
_WAIT_MS_PER_TIMEOUT_S = 800
"""A wait is so much shorter than the patience with the agent that what servers lengthen it by has room."""
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("", "0", "f", "F", "false", "FALSE", "False"), False),
}


class _StoppedError(Exception):
    """SIGINT or SIGTERM."""


def _run(arguments: Arguments) -> int:
    passing = _BOOLEANS.get(arguments.text("passingonly"))
    if passing is None:
        given = arguments.text("passingonly")
        return fail(f'Failed to parse passingonly flag: strconv.ParseBool: parsing "{given}": invalid syntax')
    text = arguments.text
    watch = WatchDefinition(
        type=text("type"),
        key=text("key"),
        prefix=text("prefix"),
        service=text("service"),
        tag=text("tag") or None,
        passingonly=passing,
        state=text("state"),
        name=text("name"),
        filter=text("filter"),
    )
    for fault in faults(watch):
        return fail(fault)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        client = AgentClient(arguments)
        client.get("/v1/agent/self")
        return _watch(arguments, client, watch)
    except AgentError as error:
        return fail(f"Error querying Consul agent: {error}")
    except _StoppedError:
        return EXIT_OK


def _stop(number: int, frame: FrameType | None) -> None:
    raise _StoppedError


def _watch(arguments: Arguments, client: AgentClient, watch: WatchDefinition) -> int:
    plan, progress = Plan(watch), Progress(watch.type)
    wait_ms = client.timeout_s * _WAIT_MS_PER_TIMEOUT_S
    command = _command(arguments)
    while True:
        try:
            answer = client.get(plan.path, dict(plan.query(progress.index, wait_ms)), allow_missing=True)
            result = plan.read(answer.status, answer.body)
        except (AgentError, ValueError) as error:
            retry_s = progress.failed()
            print(f"Watch errored: {error}, retry in {retry_s:g}s", file=sys.stderr, flush=True)
            time.sleep(retry_s)
            continue
        is_news, news = progress.take(answer.index, result)
        if not is_news:
            continue
        if not command:
            sys.stdout.buffer.write(encode_result(news, indent=INDENT))
            sys.stdout.flush()
            return EXIT_OK
        try:
            code = _hand_over(command, answer.index, encode_result(news))
        except OSError as error:
            return fail(f"Error executing handler: {error}")
        if code:
            return fail(f"Error executing handler: {_how_it_ended(code)}")


def _command(arguments: Arguments) -> list[str]:
    if arguments.positional and arguments.is_set("shell"):
        return [os.environ.get("SHELL") or "/bin/sh", "-c", " ".join(arguments.positional)]
    return arguments.positional


def _hand_over(command: Sequence[str], index: int, document: bytes) -> int:
    """Run the program to its end, for its exit code; where we are to stop, so is it."""
    sys.stdout.flush()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, _INDEX_VARIABLE: str(index)})
    try:
        process.communicate(document)
    except _StoppedError:
        process.terminate()
        try:
            process.wait(KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return process.returncode


def _how_it_ended(code: int) -> str:
    """In Go's words."""
    return f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}"


COMMANDS = (
    Command(
        "watch",
        "watch [options] [CHILD...]",
        "Watches for changes",
        _run,
        (
            *CLIENT_FLAGS,
            *SERVER_FLAGS,
            Flag("type", FlagType.TEXT, f"What to watch: one of {', '.join(TYPES)}."),
            Flag("key", FlagType.TEXT, "Key to watch, for key."),
            Flag("prefix", FlagType.TEXT, "Prefix of the keys to watch, for keyprefix."),
            Flag("service", FlagType.TEXT, "Service to watch, for service and checks."),
            Flag("tag", FlagType.TEXT, "Only instances with this tag, for service."),
            Flag("passingonly", FlagType.TEXT, "With true, only instances whose checks all pass, for service."),
            Flag("state", FlagType.TEXT, "State of the checks to watch, for checks; any unless given."),
            Flag("name", FlagType.TEXT, "Name of the events to watch, for event; all unless given."),
            Flag("filter", FlagType.TEXT, "Only what this expression is true of: services, nodes, service, checks."),
            Flag("shell", FlagType.BOOL, "Run the child by a shell (SHELL, or /bin/sh).", default=True),
        ),
        "Shows a view of the servers' data as JSON and ends. With a child, runs it at first and whenever the view has "
        "changed: it reads the JSON on its standard input, and CONSUL_INDEX in its environment is the view's index. "
        "A child that fails ends the watch.",
    ),
)
