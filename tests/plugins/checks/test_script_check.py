"""Scripts: their exit status, their output, and their end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from consul_kernel.structs.check import CheckDefinition, CheckStatus
from harness.checks import SECOND_NS, CheckBench


@pytest.mark.parametrize(
    ("code", "status"), [(0, CheckStatus.PASSING), (1, CheckStatus.WARNING), (3, CheckStatus.CRITICAL)]
)
async def test_script_follows_the_exit_status(bench: CheckBench, code: int, status: CheckStatus) -> None:
    script = f"import sys; print('said'); sys.exit({code})"
    definition = CheckDefinition(id="c", script_args=[sys.executable, "-c", script], interval=SECOND_NS)
    assert await bench.first_report(definition) == (status, "said\n")


async def test_script_output_is_bounded(bench: CheckBench) -> None:
    definition = CheckDefinition(
        id="c",
        script_args=[sys.executable, "-c", "print('x' * 100_000 + 'end', end='')"],
        interval=SECOND_NS,
        output_max_size=10,
    )
    assert (await bench.first_report(definition))[1] == "Captured 10 of 100003 bytes\n...\nxxxxxxxend"


async def test_script_that_takes_too_long_is_ended(bench: CheckBench) -> None:
    definition = CheckDefinition(id="c", script_args=["sleep", "60"], interval=SECOND_NS, timeout=SECOND_NS // 20)
    assert await bench.first_report(definition) == (CheckStatus.CRITICAL, "Timed out (0.05s) running check")


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("/no/such/program", "fork/exec /no/such/program: no such file or directory"),
        ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH'),
        ("/etc/passwd", "fork/exec /etc/passwd: permission denied"),
    ],
)
async def test_script_that_cannot_be_started_is_critical(bench: CheckBench, program: str, output: str) -> None:
    definition = CheckDefinition(id="c", script_args=[program], interval=SECOND_NS)
    assert await bench.first_report(definition) == (CheckStatus.CRITICAL, output)


async def test_a_timeout_tells_what_the_script_had_said(bench: CheckBench) -> None:
    args = ["sh", "-c", "echo almost there; sleep 60"]
    definition = CheckDefinition(id="c", script_args=args, interval=SECOND_NS, timeout=SECOND_NS // 2)
    expected = "Timed out (0.5s) running check\n\nalmost there\n"
    assert await bench.first_report(definition) == (CheckStatus.CRITICAL, expected)


async def test_a_script_that_times_out_leaves_nothing_running(bench: CheckBench, tmp_path: Path) -> None:
    """Neither itself nor what it left behind, which holds its output open."""
    pid_file = tmp_path / "pid"
    script = f"sleep 300 & echo $! >{pid_file}"
    definition = CheckDefinition(
        id="c", script_args=["sh", "-c", script], interval=SECOND_NS * 100, timeout=SECOND_NS // 2
    )
    status, output = await bench.first_report(definition)
    assert (status, output) == (CheckStatus.CRITICAL, "Timed out (0.5s) running check")
    async with asyncio.timeout(5):
        while _is_running(int(pid_file.read_text())):
            await asyncio.sleep(0.01)


def _is_running(pid: int) -> bool:
    """Whether a process is there and no zombie that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
