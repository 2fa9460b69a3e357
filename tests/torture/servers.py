"""The servers under torture, and what brings back those that ended."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from harness.agents import AgentProcess
from harness.waiting import ConditionTimeoutError, wait_for

from .namespaces import Host

DISK_BYTES = 96 << 20
SEGMENT_BYTES = 64 << 10
"""Small, so that a full disk is met by the log within seconds."""
SUPERVISE_S = 0.2


class Server(AgentProcess):
    """An agent in a namespace, its data on a small disk. `wanted` is whether it should run."""

    def __init__(self, home: Path, number: int, count: int) -> None:
        name = f"s{number}"
        self.host = Host(name, number)
        self.host.mount(home / name, DISK_BYTES)
        super().__init__(
            home,
            name,
            {
                "server": True,
                "bootstrap_expect": count,
                "bind_addr": self.host.address,
                "client_addr": self.host.address,
                "log_level": "info",
                "limits": {"http_max_conns_per_client": 1000},
                "store": {"disk": {"segment_bytes": SEGMENT_BYTES}},
            },
            prefix=self.host.prefix,
        )
        self.http = f"{self.host.address}:{self.http.rpartition(':')[2]}"
        self.lan = f"{self.host.address}:{self.lan.rpartition(':')[2]}"
        self.log = home / f"{name}.log"  # not on the disk that is filled
        self.ballast = self.home / "ballast"
        self.wanted = False
        self.stopped_alone = 0
        """How often it ended although nobody asked it to."""

    @property
    def file(self) -> Path:
        return self.home.parent / f"{self.name}.json"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def crash(self) -> None:
        """`kill -9`, until it is wanted again."""
        self.wanted = False
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def fill_disk(self) -> None:
        """Leave no byte free."""
        free = os.statvfs(self.home)
        descriptor = os.open(self.ballast, os.O_CREAT | os.O_WRONLY)
        try:
            with contextlib.suppress(OSError):
                os.posix_fallocate(descriptor, 0, free.f_bavail * free.f_frsize)
            with contextlib.suppress(OSError):
                while os.write(descriptor, bytes(1 << 16)):
                    os.lseek(descriptor, 0, os.SEEK_END)
        finally:
            os.close(descriptor)

    def empty_disk(self) -> None:
        """Give the room back."""
        self.ballast.unlink(missing_ok=True)


class Servers:
    """All of them, with a supervisor that starts again what ended by itself, as an operator's would."""

    def __init__(self, home: Path, count: int) -> None:
        self.all = [Server(home, number, count) for number in range(1, count + 1)]
        for server in self.all:
            server.config["retry_join"] = [other.lan for other in self.all if other is not server]
        self._end = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")

    def start(self) -> None:
        """Start all, and wait until they have formed."""
        for server in self.all:
            server.wanted = True
            server.start()
        self._supervisor.start()
        self.wait_until_well(60.0)

    def leader(self) -> Server | None:
        """The one that says it leads, if one does."""
        for server in self.all:
            with contextlib.suppress(OSError, KeyError, ValueError):
                if (
                    server.wanted
                    and server.ask("GET", "/v1/agent/self", timeout_s=1.0).json["Stats"]["consul"]["leader"] == "true"
                ):
                    return server
        return None

    def wait_until_well(self, timeout_s: float) -> float:
        """Until all know one leader, all vote, and each takes a write; the seconds that took.

        Raises ConditionTimeoutError.
        """
        begun_s = time.monotonic()
        for server in self.all:
            left_s = max(0.1, timeout_s - (time.monotonic() - begun_s))
            wait_for(lambda s=server: self._is_well(s), f"{server.name} is well", timeout_s=left_s)  # type: ignore[misc]
        return time.monotonic() - begun_s

    def _is_well(self, server: Server) -> bool:
        if not server.running:
            return False
        configuration = server.ask("GET", "/v1/operator/raft/configuration", timeout_s=2.0)
        if configuration.status != 200:
            return False
        quorum = configuration.json["Servers"]
        if sum(entry["Voter"] for entry in quorum) != len(self.all) or not any(entry["Leader"] for entry in quorum):
            return False
        written = server.ask("PUT", f"/v1/kv/well/{server.name}", "x", timeout_s=2.0)
        return written.status == 200 and written.body.strip() == b"true"

    def _supervise(self) -> None:
        while not self._end.wait(SUPERVISE_S):
            for server in self.all:
                if server.wanted and not server.running:
                    if server.process is not None:
                        server.stopped_alone += 1
                    server.start()

    def close(self) -> None:
        """End everything."""
        self._end.set()
        if self._supervisor.ident is not None:
            self._supervisor.join()
        for server in self.all:
            server.signal(signal.SIGCONT)
            server.crash()
            server.host.unmount(server.home)


__all__ = ["ConditionTimeoutError", "Server", "Servers"]
