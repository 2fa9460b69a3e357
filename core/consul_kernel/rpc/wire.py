"""Records as Consul's RPC has them on the wire: MessagePack with the old `raw` family only.

Text and octets look alike there (msgpack of 2011, Go's `codec` without `WriteExt`), so decoding goes by the
field's type. Struct keys are Go's names, sorted. Text that is not UTF-8 is taken with replacement characters:
what a peer sends must not stop us.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import msgpack
import msgspec

from consul_kernel.contracts.consensus import LogPosition

from .errors import WireError
from .wire_plan import Converter, make_converter, make_restorer

DEFAULT_MESSAGE_LIMIT = 64 * 1024 * 1024

_DECODE_ERRORS = (ValueError, TypeError, RecursionError, msgpack.UnpackException)
_FAST_ERRORS = (*_DECODE_ERRORS, AttributeError, msgspec.DecodeError)

_packer = msgpack.Packer(use_bin_type=False, unicode_errors="surrogateescape")
_lenient_packer = msgpack.Packer(use_bin_type=False, unicode_errors="replace")


def encode(value: Any) -> bytes:
    """The bytes of a record, text, flag or list; None is nil."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,), order="sorted")
    try:
        return _packer.pack(plain)  # type: ignore[no-any-return]
    except UnicodeEncodeError:
        return _lenient_packer.pack(plain)  # type: ignore[no-any-return]


class _Decoders(NamedTuple):
    fast: Callable[[bytes], Any]
    convert: Converter


@lru_cache(maxsize=512)
def _decoders(kind: Any) -> _Decoders:
    info = msgspec.inspect.type_info(kind)
    return _Decoders(_make_fast_decoder(kind, make_restorer(info)), make_converter(info))


def _make_fast_decoder(kind: Any, restore: Converter | None) -> Callable[[bytes], Any]:
    """Decoding that leaves the work to C, for messages whose raw family is all UTF-8 and whose shapes are exact."""
    if restore is None:
        return msgspec.msgpack.Decoder(kind).decode  # it reads the raw family as text
    unpack, convert = msgpack.unpackb, msgspec.convert
    return lambda message: convert(restore(unpack(message, raw=False)), kind)


def decode(kind: Any, message: bytes) -> Any:
    """One message as a value of type `kind`; fields unknown are ignored, missing or nil ones take defaults.

    Raises WireError when the bytes are no MessagePack or of quite another shape.
    """
    fast, convert = _decoders(kind)
    try:
        return fast(message)
    except _FAST_ERRORS:
        pass  # nil, 0 for false, octets that are no text: the slow way takes them, or says what is wrong
    try:
        return convert(msgpack.unpackb(message, raw=True, strict_map_key=False))
    except _DECODE_ERRORS as error:
        raise WireError(f"undecodable message: {error}") from error


_KEPT_BUFFER_BYTES = 64 * 1024
_SPARE_SCANNERS_MAX = 16
_spare_scanners: list[msgpack.Unpacker] = []
"""A scanner takes 45 kB, most of it a stack for nested values, so only readers in the middle of a message have one."""


def _borrow_scanner() -> msgpack.Unpacker:
    try:
        return _spare_scanners.pop()
    except IndexError:
        # Its buffer grows as needed; the default is 1 MiB from the start.
        return msgpack.Unpacker(raw=True, max_buffer_size=0, read_size=4096)


class MessageReader:
    """Cuts a stream of bytes into MessagePack messages. Each byte is looked at once, however it arrives."""

    __slots__ = ("_base", "_borrowed_at", "_buffer", "_limit", "_scanner")

    def __init__(self, limit: int = DEFAULT_MESSAGE_LIMIT) -> None:
        """`limit`: the most bytes of one message."""
        self._limit = limit
        self._buffer = bytearray()
        self._base = 0
        self._borrowed_at = 0
        self._scanner: msgpack.Unpacker | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes from the stream."""
        self._buffer += data
        if self._scanner is not None:
            self._scanner.feed(data)

    def next(self) -> bytes | None:
        """The next whole message, or None until more bytes come. Raises WireError: the stream is then useless."""
        if not self._buffer:
            return None
        scanner = self._scanner
        if scanner is None:
            scanner = self._scanner = _borrow_scanner()
            self._base = self._borrowed_at = scanner.tell()
            scanner.feed(self._buffer)
        try:
            scanner.skip()
        except msgpack.OutOfData:
            if len(self._buffer) > self._limit:
                raise WireError(f"a message is longer than {self._limit} bytes") from None
            return None
        except _DECODE_ERRORS as error:
            raise WireError(f"not MessagePack: {str(error) or type(error).__name__}") from error
        end = scanner.tell()
        size = end - self._base
        if size > self._limit:
            raise WireError(f"a message of {size} bytes is longer than {self._limit}")
        message = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._base = end
        if not self._buffer:
            self._return_scanner(scanner)
        return message

    def take_rest(self) -> bytes:
        """What came behind the last message, when the stream goes on with something else. No message comes after it."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        self._scanner = None
        return rest

    def _return_scanner(self, scanner: msgpack.Unpacker) -> None:
        """Hold nothing while nothing is left over. Much that was read leaves long buffers, which nobody should keep."""
        self._scanner = None
        if self._base - self._borrowed_at > _KEPT_BUFFER_BYTES:
            self._buffer = bytearray()
        elif len(_spare_scanners) < _SPARE_SCANNERS_MAX:
            _spare_scanners.append(scanner)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._buffer)

    @property
    def is_empty(self) -> bool:
        """Whether no byte is left over."""
        return not self._buffer


class RequestHeader(msgspec.Struct, frozen=True, rename="pascal"):
    """What precedes a request."""

    seq: int = 0
    service_method: str = ""


class ResponseHeader(msgspec.Struct, frozen=True, rename="pascal"):
    """What precedes a reply; with an error, the reply is an empty map."""

    error: str = ""
    seq: int = 0
    service_method: str = ""
    applied_index: int = 0
    """Of our own; Go's decoder passes over it. The last entry that the leader had applied when it answered a write."""
    applied_term: int = 0


EMPTY_BODY = b"\x80"

_pack_plain = msgpack.Packer(use_bin_type=False, unicode_errors="replace").pack


@lru_cache(maxsize=512)
def _service_method_field(name: str) -> bytes:
    return b"\xadServiceMethod" + _pack_plain(name)  # type: ignore[no-any-return]


def encode_request(seq: int, name: str, request: Any) -> bytes:
    """Header and body of a request."""
    return b"\x82\xa3Seq" + _pack_plain(seq) + _service_method_field(name) + encode(request)  # type: ignore[no-any-return]


def encode_response(seq: int, name: str, body: bytes, applied: LogPosition | None = None) -> bytes:
    """Header and body of a reply."""
    if applied is not None:
        position = b"\xacAppliedIndex" + _pack_plain(applied.index) + b"\xabAppliedTerm" + _pack_plain(applied.term)
        return b"\x85" + position + b"\xa5Error\xa0\xa3Seq" + _pack_plain(seq) + _service_method_field(name) + body  # type: ignore[no-any-return]
    return b"\x83\xa5Error\xa0\xa3Seq" + _pack_plain(seq) + _service_method_field(name) + body  # type: ignore[no-any-return]


def encode_error(seq: int, name: str, text: str) -> bytes:
    """Header and empty body that say what went wrong."""
    fields = (
        b"\x83\xa5Error",
        _pack_plain(text),
        b"\xa3Seq",
        _pack_plain(seq),
        b"\xadServiceMethod",
        _pack_plain(name),
    )
    return b"".join(fields) + EMPTY_BODY
