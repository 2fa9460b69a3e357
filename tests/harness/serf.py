"""Debian's `serf` as a member of a pool: another implementation's word for what the pool looks like."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

from .agents import free_ports

SERF = shutil.which("serf")


class SerfAgent:
    """A `serf agent` process and its command line."""

    def __init__(self, home: Path, name: str, join: str, *options: str) -> None:
        assert SERF is not None
        self._serf = SERF
        lan, rpc = free_ports(2)
        self._rpc = f"-rpc-addr=127.0.0.1:{rpc}"
        self.log = home / f"{name}.log"
        self._log_file = self.log.open("wb")
        self.process = subprocess.Popen(
            [
                self._serf, "agent", f"-node={name}", f"-bind=127.0.0.1:{lan}", self._rpc,
                f"-retry-join={join}", "-retry-interval=1s", "-tag", "role=web", *options,
            ],
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def command(self, *arguments: str) -> str:
        """The output of `serf …`, asked of this agent; OSError when it fails."""
        ran = subprocess.run(
            [self._serf, arguments[0], self._rpc, *arguments[1:]], capture_output=True, timeout=20, check=False
        )
        if ran.returncode:
            raise OSError((ran.stdout + ran.stderr).decode())
        return ran.stdout.decode()

    def members(self) -> dict[str, str]:
        """Status by name, as Serf sees it."""
        return {
            member["name"]: member["status"]
            for member in json.loads(self.command("members", "-format=json"))["members"]
        }

    def leave(self) -> None:
        """A graceful leave."""
        self.command("leave")
        self.process.wait(20)

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._log_file.close()
