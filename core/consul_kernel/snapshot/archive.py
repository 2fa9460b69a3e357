"""The archive: what `consul snapshot save` writes, and how it is written.

A gzip of a tar of three files: `meta.json` describes the state, `state.bin` is the state, and `SHA256SUMS` has the
SHA-256 of both. Everything that reads Consul's archives reads these.
(Consul: `snapshot/archive.go`, documentation of `consul snapshot`.)
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator

import msgpack
import msgspec

from consul_kernel.contracts.consensus import Configuration, Suffrage
from consul_kernel.contracts.errors import ConsulKernelError

META, STATE, SUMS = "meta.json", "state.bin", "SHA256SUMS"
MODE = 0o600
BLOCK_BYTES = tarfile.BLOCKSIZE
FORMAT_VERSION = 1
MAX_STATE_BYTES = (8 << 30) - 1
"""The longest state: what the plain tar format can say. Longer ones are neither written nor read."""

_GZIP_LEVEL = 1
"""A level that keeps up with the disk; keys and names shrink to a tenth all the same."""
_GZIP_WINDOW_BITS = 31


class ArchiveError(ConsulKernelError):
    """Bytes that are no archive, or one that is damaged; the text says what is wrong with it, in Consul's words."""


class ArchiveServer(msgspec.Struct, frozen=True, rename="pascal"):
    """A server of the quorum in which the archive was made."""

    suffrage: int = 0
    """0 votes, 1 does not."""
    id: str = msgspec.field(default="", name="ID")
    address: str = ""


class ArchiveConfiguration(msgspec.Struct, frozen=True, rename="pascal"):
    """The quorum in which the archive was made."""

    servers: tuple[ArchiveServer, ...] | None = ()


class ArchiveMeta(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """`meta.json`. `peers` is the old form of the configuration: a MessagePack list of addresses, in base64."""

    version: int = FORMAT_VERSION
    id: str = msgspec.field(default="", name="ID")
    index: int = 0
    term: int = 0
    peers: bytes | None = None
    configuration: ArchiveConfiguration = ArchiveConfiguration()
    configuration_index: int = 0
    size: int = 0


def describe(index: int, term: int, configuration: Configuration, *, now_ms: int) -> ArchiveMeta:
    """The description of a state at an index; its size is not known yet. `now_ms` is the time since 1970."""
    voters = [server.address for server in configuration.servers if server.suffrage is Suffrage.VOTER]
    servers = tuple(
        ArchiveServer(0 if server.suffrage is Suffrage.VOTER else 1, server.id, server.address)
        for server in configuration.servers
    )
    return ArchiveMeta(
        id=f"{term}-{index}-{now_ms}",
        index=index,
        term=term,
        peers=msgpack.packb(voters, use_bin_type=False),
        configuration=ArchiveConfiguration(servers),
        configuration_index=configuration.index,
    )


def write_archive(meta: ArchiveMeta, state: Iterable[bytes], state_digest: bytes, *, now_s: int) -> Iterator[bytes]:
    """The archive's bytes, in pieces as the state's come. `meta.size` is the state's size, the digest its SHA-256."""
    if meta.size > MAX_STATE_BYTES:
        raise ArchiveError(f"a state of {meta.size} bytes is too large for an archive: {MAX_STATE_BYTES} at most")
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
    described = msgspec.json.encode(meta) + b"\n"
    sums = f"{hashlib.sha256(described).hexdigest()}  {META}\n{state_digest.hex()}  {STATE}\n".encode()
    yield packer.compress(_member(META, described, now_s) + _header(STATE, meta.size, now_s))
    for piece in state:
        yield packer.compress(piece)
    yield packer.compress(_padding(meta.size) + _member(SUMS, sums, now_s) + bytes(2 * BLOCK_BYTES)) + packer.flush()


def _member(name: str, content: bytes, now_s: int) -> bytes:
    return _header(name, len(content), now_s) + content + _padding(len(content))


def _header(name: str, size: int, now_s: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, MODE, now_s
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK_BYTES)


def parse_sums(text: bytes) -> dict[str, str]:
    """Digests in hexadecimal by file name. ArchiveError for a line of another form."""
    sums: dict[str, str] = {}
    for line in io.BytesIO(text):
        digest, separator, name = line.decode("ascii", "replace").rstrip("\n").partition("  ")
        if not separator or len(digest) != 2 * hashlib.sha256().digest_size:
            raise ArchiveError("failed checking integrity of snapshot: a line of SHA256SUMS has another form")
        sums[name] = digest.lower()
    return sums
