"""Script checks: passing on exit status 0, warning on 1, critical on any other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from consul_kernel.contracts.check import REMOTE_CODE, CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .captured import Captured

STATUSES = {0: CheckStatus.PASSING, 1: CheckStatus.WARNING}
"""By exit status; all others are critical (https://nagios-plugins.org/doc/guidelines.html)."""
_PIECE_BYTES = 65_536


class ScriptConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    args: list[str] = []
    """The command and its arguments; no shell is involved. `script_args` is another word for it."""


class ScriptCheck:
    """Runs the command in a process group of its own that ends with the timeout."""

    def __init__(self, context: CheckContext, config: ScriptConfig) -> None:
        self._args = config.args
        self._timeout_s = context.timeout_s
        self._limit_bytes = context.output_limit_bytes
        self._captured = Captured(self._limit_bytes)

    async def probe(self) -> Outcome:
        """Run once; output beyond the limit is read and dropped, so that the script is not held up."""
        self._captured = Captured(self._limit_bytes)
        try:
            process = await self._start()
        except OSError as error:
            return Outcome(CheckStatus.CRITICAL, _start_failure(self._args[0], error))
        try:
            await self._read(process)
            code = await process.wait()
        except BaseException:
            await asyncio.shield(_kill(process))
            raise
        return Outcome(STATUSES.get(code, CheckStatus.CRITICAL), self._captured.noted())

    async def _start(self) -> asyncio.subprocess.Process:
        """Where this is cancelled half-way, asyncio kills the script, but would wait for what that has started."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await asyncio.shield(_kill(await starting))
            raise

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while piece := await process.stdout.read(_PIECE_BYTES):
            self._captured.add(piece)

    def timed_out(self) -> Outcome:
        """Consul's words, and what the script had said until then."""
        said = self._captured.noted()
        return Outcome(
            CheckStatus.CRITICAL, f"Timed out ({self._timeout_s:g}s) running check" + (f"\n\n{said}" if said else "")
        )


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End a script with all that it has started: it may itself be gone, and that still hold its output."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _start_failure(program: str, error: OSError) -> str:
    """As Go words it."""
    if isinstance(error, FileNotFoundError) and "/" not in program:
        return f'exec: "{program}": executable file not found in $PATH'
    return f"fork/exec {program}: {(error.strerror or str(error)).lower()}"


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="args",
        api=1,
        create=ScriptCheck,
        config_type=ScriptConfig,
        capabilities=frozenset({REMOTE_CODE}),
        summary="the exit status of a command",
        type_name="script",
        default_timeout_s=30.0,
    )
