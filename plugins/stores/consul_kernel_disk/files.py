"""The few things the log and the snapshots do to files, in one place: a test replaces it to crash between them."""

from __future__ import annotations

import os
from pathlib import Path

_flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Files:
    """Blocking calls on the operating system. Every error is an OSError."""

    def create(self, path: Path, size: int) -> int:
        """A new file with `size` bytes of zeros, reserved on disk; its descriptor, open for reading and writing."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if size:
                self._reserve(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open(self, path: Path) -> int:
        """The descriptor of an existing file, open for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            more = os.pwrite(descriptor, memoryview(data)[written:], offset + written)
            if more == 0:
                raise OSError(f"wrote {written} of {len(data)} bytes")
            written += more

    def flush(self, descriptor: int) -> None:
        """Make what was written to a file durable, its size included."""
        _flush(descriptor)

    def flush_folder(self, path: Path) -> None:
        """Make creations, renames and removals in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or folder another name, atomically."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def make_folder(self, path: Path) -> None:
        """Make a folder and what leads to it, and each new name durable in the folder above."""
        missing = []
        while not path.is_dir() and path != path.parent:
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            self.flush_folder(folder.parent)

    @staticmethod
    def _reserve(descriptor: int, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:  # macOS: a sparse file, where a full disk shows at the write instead
            os.ftruncate(descriptor, size)
