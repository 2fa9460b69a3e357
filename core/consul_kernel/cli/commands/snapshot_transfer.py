"""`consul-kernel snapshot save` and `snapshot restore`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from consul_kernel.cli.client import CLIENT_FLAGS, SERVER_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.snapshot.archive import MODE, ArchiveError
from consul_kernel.snapshot.inspection import inspect_archive, verify_archive

_TIMEOUT_S = 3600
_FLAGS = (
    *(flag for flag in CLIENT_FLAGS if flag.name != "timeout"),
    Flag("timeout", FlagType.INT, "Seconds to wait for the agent.", default=_TIMEOUT_S),
)


def _save(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("Missing FILE argument")
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    file = Path(arguments.positional[0])
    if not file.name:
        return fail(f"{str(file)!r} is no name of a file")
    unverified = file.with_name(f"{file.name}.unverified")
    try:
        return _save_as(arguments, unverified, file)
    finally:
        with suppress(OSError):
            unverified.unlink()


def _save_as(arguments: Arguments, unverified: Path, file: Path) -> int:
    try:
        descriptor = os.open(unverified, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "w+b") as written:
            headers = AgentClient(arguments).download("/v1/snapshot", written)
            written.flush()
            os.fsync(written.fileno())
            written.seek(0)
            verify_archive(written)
        unverified.replace(file)
        _flush_folder(file.parent)
    except AgentError as error:
        return fail(f"Error saving snapshot: {error}")
    except ArchiveError as error:
        return fail(f"Error verifying snapshot file: {error}")
    except OSError as error:
        return fail(f"Error writing snapshot file: {error.strerror}: {error.filename or file}")
    print(f"Saved and verified snapshot to index {headers.get('X-Consul-Index', '0')}")
    return EXIT_OK


def _flush_folder(folder: Path) -> None:
    """Make the new name survive the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _restore(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("Missing FILE argument")
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    name = arguments.positional[0]
    try:
        with Path(name).open("rb") as file:
            return _restore_from(arguments, file)
    except OSError as error:
        return fail(f"Error opening snapshot file: {error.strerror}: {name}")


def _restore_from(arguments: Arguments, file: BinaryIO) -> int:
    try:
        unserved = inspect_archive(file).unserved()
        size = file.tell()
        file.seek(0)
        AgentClient(arguments).upload("/v1/snapshot", file, size)
    except (AgentError, ArchiveError) as error:
        return fail(f"Error restoring snapshot: {error}")
    if unserved:
        print(f"Kept, but not acted on by consul-kernel: {', '.join(unserved)}", file=sys.stderr)
    print("Restored snapshot")
    return EXIT_OK


COMMANDS = (
    Command(
        "snapshot save",
        "snapshot save [options] FILE",
        "Saves the servers' state into an archive",
        _save,
        (*_FLAGS, *SERVER_FLAGS),
        "Saves the state of the servers as it is at one moment: keys, catalog, sessions, prepared queries, and more. "
        "The file is in Consul's own format, for consul-kernel and for Consul. It is verified before it gets its "
        "name.\n\n"
        "With -stale any server saves what it has, also where there is no leader.",
    ),
    Command(
        "snapshot restore",
        "snapshot restore [options] FILE",
        "Replaces the servers' state by an archive's",
        _restore,
        (*_FLAGS, *(flag for flag in SERVER_FLAGS if flag.name == "datacenter")),
        "Replaces the state of all servers of a datacenter by that of a file which `snapshot save`, of consul-kernel "
        "or of Consul, has written. It is verified before anything is replaced.\n\n"
        "Records that consul-kernel does not act on are kept and named.",
    ),
)
