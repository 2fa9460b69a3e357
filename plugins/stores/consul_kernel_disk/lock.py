"""One agent per path."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from consul_kernel.contracts.errors import PluginStartError

NAME = "consul-kernel.lock"


class FolderLock:
    """An advisory lock that the operating system lets go of when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock. Raises PluginStartError, naming the holder where it is known, and OSError."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise PluginStartError(
                f"{self._path.parent} is in use by {who}: stop it, or give this agent a data_dir of its own"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of one name."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)
