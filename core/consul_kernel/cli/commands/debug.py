"""`consul-kernel debug`: an archive of what an agent is and does, for whoever looks into its trouble."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_FAILURE, EXIT_OK, Command, fail
from consul_kernel.cli.debug_capture import CLUSTER, PPROF, TARGETS, DebugCapture, make_archive, write_json
from consul_kernel.cli.flags import Arguments, Flag, FlagError, FlagType
from consul_kernel.structs.duration import SECOND, DurationError, format_duration_ns, parse_duration_ns, quote

_FORMAT_VERSION = 1
_MIN_INTERVAL_NS = 5 * SECOND
_MIN_DURATION_NS = 10 * SECOND
_GRACE_NS = 2 * SECOND
"""Added to the time, so that the last interval is in it."""
_NO_PROFILES = "[WARN] Unable to capture pprof. Set enable_debug to true on target agent to enable profiling."
_TIME_FORMAT = "%Y-%m-%dT%H-%M-%SZ"
"""Without colons, which tar takes for the end of a host's name."""

_FLAGS = (
    Flag(
        "capture",
        FlagType.TEXTS,
        f"What to capture: {', '.join(TARGETS)}. May be repeated. Everything unless given.",
    ),
    Flag("interval", FlagType.TEXT, "Time between two looks at metrics and profiles; at least 5s.", default="30s"),
    Flag("duration", FlagType.TEXT, "Time to go on for; at least 10s.", default="5m"),
    Flag("archive", FlagType.BOOL, "Make a compressed archive of what was captured.", default=True),
    Flag("output", FlagType.TEXT, "Path of what is made, without .tar.gz. Default: consul-debug- and the time."),
    *CLIENT_FLAGS,
)


class _InvalidError(Exception):
    """The command cannot begin; the text says why."""


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return _complain("debug: Too many arguments provided, expected 0")
    client = AgentClient(arguments)
    interval_ns, duration_ns = (_duration(arguments, name) for name in ("interval", "duration"))
    folder = Path(arguments.text("output") or f"consul-debug-{_now()}")
    try:
        _check_times(interval_ns, duration_ns)
        version, targets = _examine(client, arguments.texts("capture"))
        _make_folder(folder)
    except _InvalidError as error:
        return _complain(f"Capture validation failed: {error}")
    has_archive = arguments.is_set("archive")
    output = folder.with_name(folder.name + ".tar.gz") if has_archive else folder
    print("==> Starting debugger and capturing static information...")
    lines = (
        ("Agent Version", version),
        ("Interval", format_duration_ns(interval_ns)),
        ("Duration", format_duration_ns(duration_ns)),
        ("Output", str(output)),
        ("Capture", ", ".join(targets)),
    )
    for name, value in lines:
        print(f"    {name:>14}: '{value}'", flush=True)
    duration_ns += _GRACE_NS
    _capture(DebugCapture(client, folder, targets), interval_ns, duration_ns)
    index = {
        "Version": _FORMAT_VERSION,
        "AgentVersion": version,
        "Interval": format_duration_ns(interval_ns),
        "Duration": format_duration_ns(duration_ns),
        "Targets": targets,
    }
    try:
        write_json(folder / "index.json", index)
        if has_archive:
            make_archive(folder, output)
    except OSError as error:
        return _complain(f"Archive creation failed: {error}")
    print(f"    Saved debug archive: {output}")
    return EXIT_OK


def _capture(capture: DebugCapture, interval_ns: int, duration_ns: int) -> None:
    """Take down everything; Ctrl-C ends that early, and what there is is kept."""
    for error in capture.static():
        _complain(f"Static capture failed: {error}")
    if not capture.is_dynamic:
        return
    try:
        capture.begin(duration_ns // SECOND, interval_ns // SECOND)
        _at_intervals(capture, interval_ns / SECOND, duration_ns / SECOND)
    except KeyboardInterrupt:
        _complain("Error encountered during collection: stopping collection due to shutdown signal")
    for error in capture.end():
        _complain(f"Error encountered during collection: {error}")


def _at_intervals(capture: DebugCapture, interval_s: float, duration_s: float) -> None:
    begun_s = time.monotonic()
    print(f"==> Beginning capture interval {_now()} (0)", flush=True)
    count = 0
    while True:
        for error in capture.moment(_now()):
            _complain(f"Error encountered during collection: {error}")
        print(f"==> Capture successful {_now()} ({count})", flush=True)
        count += 1
        due_s = begun_s + count * interval_s
        end_s = begun_s + duration_s
        time.sleep(max(0.0, min(due_s, end_s) - time.monotonic()))
        if due_s > end_s:
            return


def _check_times(interval_ns: int, duration_ns: int) -> None:
    if duration_ns < _MIN_DURATION_NS:
        raise _InvalidError(f"duration must be longer than {format_duration_ns(_MIN_DURATION_NS)}")
    if interval_ns < _MIN_INTERVAL_NS:
        raise _InvalidError(f"interval must be longer than {format_duration_ns(_MIN_INTERVAL_NS)}")
    if duration_ns < interval_ns:
        shown = (format_duration_ns(duration_ns), format_duration_ns(interval_ns))
        raise _InvalidError(f"duration ({shown[0]}) must be longer than interval ({shown[1]})")


def _examine(client: AgentClient, wanted: list[str]) -> tuple[str, list[str]]:
    """The agent's version, and what can be captured of it. Raises _InvalidError."""
    for target in wanted:
        if target not in (*TARGETS, CLUSTER):
            raise _InvalidError(f"target not found: {target}")
    try:
        document: dict[str, Any] = client.get_json("/v1/agent/self")
        version = str(document["Config"]["Version"])
        allows_profiles = document["DebugConfig"]["EnableDebug"] is True
    except AgentError as error:
        text = f"error querying target agent: {error}. verify connectivity and agent address"
        raise _InvalidError(text) from error
    except (KeyError, TypeError):
        raise _InvalidError("agent response did not contain version and EnableDebug key") from None
    targets = wanted or list(TARGETS)
    if PPROF in targets and not allows_profiles:
        _complain(_NO_PROFILES)
        targets = [target for target in targets if target != PPROF]
    return version, targets


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise _InvalidError(f"output directory already exists: {folder}") from None
    except OSError as error:
        raise _InvalidError(f"could not create output directory: {error}") from error


def _duration(arguments: Arguments, name: str) -> int:
    text = arguments.text(name)
    try:
        return parse_duration_ns(text)
    except DurationError as error:
        raise FlagError(f"invalid value {quote(text)} for flag -{name}: parse error") from error


def _now() -> str:
    return datetime.now(UTC).strftime(_TIME_FORMAT)


def _complain(text: str) -> int:
    fail(f"==> {text}")
    return EXIT_FAILURE


COMMANDS = (
    Command(
        "debug",
        "debug [options]",
        "Records a debugging archive for operators",
        _run,
        _FLAGS,
        "Watches a running agent for a while, and puts down what it is and does into an archive: its host, its "
        "configuration and state, the members of its pools, its metrics of each interval, and its log at the lowest "
        "level. The agent shows its secrets to nobody, but look through an archive before you give it away.\n\n"
        "Profiles (pprof) are captured of agents that allow it by enable_debug. Ctrl-C ends the capture early; what "
        "was captured by then is kept.",
    ),
)
