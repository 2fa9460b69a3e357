"""A network of the run's own: a namespace for each server, joined by a bridge, with links that can be cut.

The run starts itself again in namespaces of network, mounts and processes. So nothing outlives it, whatever ends it:
the kernel takes down interfaces, mounts and processes with them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

INSIDE = "CONSUL_KERNEL_TORTURE_INSIDE"
NETWORK = "10.77.0"
NOWHERE = "02:de:ad:00:00:01"
"""A hardware address that nobody has: what is sent to it vanishes, as in a network that is cut."""
_UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


class NoNamespacesError(Exception):
    """This machine, or this user, cannot make them."""


def enter() -> None:
    """Run this program again inside, where it is not there yet. Raises NoNamespacesError."""
    if os.environ.get(INSIDE):
        _settle_in()
        return
    for tool in ("unshare", "ip", "nsenter", "mount"):
        if shutil.which(tool) is None:
            raise NoNamespacesError(f"`{tool}` is not installed (Debian: util-linux, iproute2)")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    probe = subprocess.run(
        [*_UNSHARE, *user, "ip", "link", "add", "name", "bridge", "type", "bridge"], capture_output=True, check=False
    )
    if probe.returncode:
        raise NoNamespacesError(probe.stderr.decode(errors="replace").strip() or "unshare failed")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*_UNSHARE, *user, sys.executable, *sys.argv])


def _settle_in() -> None:
    # The first process of a namespace ignores signals that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _run("ip", "link", "set", "lo", "up")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")  # where `ip netns` keeps its names
    _run("ip", "link", "add", "name", "bridge", "type", "bridge")
    _run("ip", "address", "add", f"{NETWORK}.254/24", "dev", "bridge")
    _run("ip", "link", "set", "bridge", "up")


class Host:
    """A network namespace with one address on the bridge, and a small disk."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.prefix = ["nsenter", f"--net=/run/netns/{name}"]
        """What a command starts with that runs here."""
        self._cut: set[str] = set()
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", "name", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", f"v-{name}", "master", "bridge", "up")
        self._ip("link", "set", "lo", "up")
        self._ip("link", "set", "eth0", "up")
        self._ip("address", "add", f"{self.address}/24", "dev", "eth0")

    def mount(self, folder: Path, size_bytes: int) -> None:
        """A disk of its own, in memory."""
        folder.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))

    def unmount(self, folder: Path) -> None:
        """Take the disk away, and what is on it."""
        _run("umount", str(folder))

    def cut(self, others: Iterable[Host]) -> None:
        """What is sent from here to these vanishes; what they send still arrives."""
        for other in others:
            self._ip("neighbour", "replace", other.address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")
            self._cut.add(other.address)

    def heal(self) -> None:
        """Everything that is sent from here arrives again."""
        for address in self._cut:
            self._ip("neighbour", "delete", address, "dev", "eth0")
        self._cut.clear()

    def _ip(self, *arguments: str) -> None:
        _run(*self.prefix, "ip", *arguments)


def _run(*command: str) -> None:
    """Raises NoNamespacesError with what the command said."""
    ran = subprocess.run(command, capture_output=True, check=False)
    if ran.returncode:
        raise NoNamespacesError(f"{' '.join(command)}: {ran.stderr.decode(errors='replace').strip()}")
