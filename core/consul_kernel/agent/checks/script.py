"""Script checks: passing on exit status 0, warning on 1, critical on any other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from consul_kernel.structs.check import CheckStatus

from .periodic import PeriodicRunner

OUTPUT_LIMIT_BYTES = 4096


class ScriptRunner(PeriodicRunner):
    """Runs `script_args` without a shell, in a process group of its own that ends with the timeout."""

    default_timeout_s = 30.0

    async def probe(self) -> tuple[CheckStatus, str]:
        """Run once; output beyond the limit is read and dropped, so that the script is not held up."""
        arguments = self._definition.script_args or []
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output = await self._read(process)
            code = await process.wait()
        except BaseException:
            # The script itself may be gone, and what it left behind still hold its output and its process group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
            raise
        status = {0: CheckStatus.PASSING, 1: CheckStatus.WARNING}.get(code, CheckStatus.CRITICAL)
        return status, output

    async def _read(self, process: asyncio.subprocess.Process) -> str:
        limit = self._definition.output_max_size or OUTPUT_LIMIT_BYTES
        assert process.stdout is not None
        kept = bytearray()
        total = 0
        while chunk := await process.stdout.read(65536):
            total += len(chunk)
            kept += chunk
            del kept[:-limit]
        text = kept.decode("utf-8", "replace")
        return text if total <= limit else f"Captured {limit} of {total} bytes\n...\n{text}"

    def timeout_output(self) -> str:
        """Consul's words."""
        return f"Timed out ({self._timeout_s:g}s) running check"
