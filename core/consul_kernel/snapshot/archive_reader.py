"""Reading an archive as it comes, piece by piece, with nothing kept but a piece; trusted only once `close` says so."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable

import msgspec

from .archive import (
    BLOCK_BYTES,
    FORMAT_VERSION,
    MAX_STATE_BYTES,
    META,
    STATE,
    SUMS,
    ArchiveError,
    ArchiveMeta,
    parse_sums,
)

OUTPUT_BYTES = 256 * 1024
"""What is unpacked at once: however little an archive is unpacked from, it fills no memory."""
MAX_SMALL_BYTES = 1024 * 1024
"""The longest `meta.json` and `SHA256SUMS`."""
_GZIP_WINDOW_BITS = 31
_DAMAGED = "failed checking integrity of snapshot: "


class ArchiveReader:
    """Takes the bytes of an archive and hands on those of `state.bin`.

    `write` is given the state in pieces; what it was given counts for nothing until `close` has returned. ArchiveError
    as soon as something is wrong. A state of more than `max_state_bytes` is refused before its first byte.
    """

    def __init__(self, write: Callable[[bytes], object], *, max_state_bytes: int = MAX_STATE_BYTES) -> None:
        self._write = write
        self._max_state_bytes = min(max_state_bytes, MAX_STATE_BYTES)
        self._unpacker = zlib.decompressobj(_GZIP_WINDOW_BITS)
        self._buffer = bytearray()
        self._left = 0
        self._padding = 0
        self._member = ""
        self._small: dict[str, bytearray] = {}
        self._digests: dict[str, str] = {}
        self._digest = hashlib.sha256()
        self._state_bytes = -1
        self._is_ended = False
        self._has_input = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        while data:
            self._has_input = True
            if self._unpacker.eof:
                # Several gzip streams one after the other are one, as for gzip itself.
                self._unpacker = zlib.decompressobj(_GZIP_WINDOW_BITS)
            try:
                self._take(self._unpacker.decompress(data, OUTPUT_BYTES))
                while self._unpacker.unconsumed_tail:
                    self._take(self._unpacker.decompress(self._unpacker.unconsumed_tail, OUTPUT_BYTES))
            except zlib.error as error:
                raise ArchiveError(f"failed to decompress snapshot: {error}") from None
            data = self._unpacker.unused_data

    def close(self) -> ArchiveMeta:
        """Say that no more bytes come, and learn what the archive describes. Everything has been verified then."""
        if not self._has_input:
            raise ArchiveError("failed to decompress snapshot: EOF")
        self._take(self._unpacker.flush())
        if not self._unpacker.eof or not self._is_ended:
            raise ArchiveError("failed to read snapshot file: failed reading snapshot: unexpected EOF")
        self._verify_sums()
        meta = self._decode_meta()
        if meta.size != self._state_bytes:
            raise ArchiveError(f"{_DAMAGED}{STATE} has {self._state_bytes} bytes, {META} says {meta.size}")
        return meta

    # --- tar ---

    def _take(self, unpacked: bytes) -> None:
        self._buffer += unpacked
        while self._buffer:
            if self._left:
                self._take_content()
            elif self._padding:
                skipped = min(self._padding, len(self._buffer))
                del self._buffer[:skipped]
                self._padding -= skipped
            elif self._is_ended:
                # What follows the end in archives that were packed anew with tar: blocks of zeros.
                if any(self._buffer):
                    raise ArchiveError("failed to read snapshot file: bytes after the end of the archive")
                self._buffer.clear()
            elif len(self._buffer) < BLOCK_BYTES:
                return
            else:
                self._take_header()

    def _take_header(self) -> None:
        block = bytes(self._buffer[:BLOCK_BYTES])
        del self._buffer[:BLOCK_BYTES]
        if not any(block):
            self._is_ended = True
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise ArchiveError(f"failed to read snapshot file: failed reading snapshot: {error}") from None
        name = info.name
        if name not in (META, STATE, SUMS) or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise ArchiveError(f"failed to read snapshot file: unexpected file {_quoted(name)} in snapshot")
        if name in self._small or (name == STATE and self._state_bytes >= 0):
            raise ArchiveError(f"failed to read snapshot file: {_quoted(name)} is there twice")
        limit = self._max_state_bytes if name == STATE else MAX_SMALL_BYTES
        if not 0 <= info.size <= limit:
            raise ArchiveError(f"failed to read snapshot file: {name} has {info.size} bytes, {limit} are possible")
        self._member, self._left, self._padding = name, info.size, -info.size % BLOCK_BYTES
        self._digest = hashlib.sha256()
        if name == STATE:
            self._state_bytes = info.size
        else:
            self._small[name] = bytearray()
        if not info.size:
            self._end_member()

    def _take_content(self) -> None:
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        self._digest.update(piece)
        if self._member == STATE:
            self._write(piece)
        else:
            self._small[self._member] += piece
        if not self._left:
            self._end_member()

    def _end_member(self) -> None:
        self._digests[self._member] = self._digest.hexdigest()

    # --- what it says of itself ---

    def _verify_sums(self) -> None:
        sums = parse_sums(bytes(self._small.get(SUMS, b"")))
        for name in (META, STATE):
            if name not in self._digests:
                raise ArchiveError(f"{_DAMAGED}file missing for {_quoted(name)}")
            if name not in sums:
                raise ArchiveError(f"{_DAMAGED}list missing hash for {_quoted(name)}")
            if sums[name] != self._digests[name]:
                raise ArchiveError(f"{_DAMAGED}hash check failed for {_quoted(name)}")
        if len(sums) > len(self._digests) - 1:
            surplus = next(name for name in sums if name not in (META, STATE))
            raise ArchiveError(f"{_DAMAGED}file missing for {_quoted(surplus)}")

    def _decode_meta(self) -> ArchiveMeta:
        try:
            meta = msgspec.json.decode(bytes(self._small[META]), type=ArchiveMeta)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArchiveError(f"failed to decode snapshot metadata: {error}") from None
        if meta.version != FORMAT_VERSION:
            raise ArchiveError(f"unsupported snapshot version {meta.version}, {FORMAT_VERSION} is known")
        if meta.index < 0 or meta.index >= 1 << 62:
            raise ArchiveError(f"failed to decode snapshot metadata: no state has the index {meta.index}")
        return meta


def _quoted(name: str) -> str:
    return '"' + name.encode("utf-8", "backslashreplace").decode().replace('"', '\\"')[:100] + '"'
