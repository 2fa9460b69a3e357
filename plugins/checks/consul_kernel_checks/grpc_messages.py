"""The two messages of gRPC's health checking protocol, in protobuf, with gRPC's prefix of flag and length."""

from __future__ import annotations

import struct
from enum import IntEnum

_PREFIX = struct.Struct(">BI")
_SERVICE_TAG = 0x0A
"""HealthCheckRequest.service: field 1, of which the length is given (https://protobuf.dev/programming-guides/encoding/)."""
_STATUS_FIELD = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)


class ServingStatus(IntEnum):
    """HealthCheckResponse.ServingStatus."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


def grpc_code(number: str) -> str:
    """The name of a status code as grpc-go writes it; a missing one is Unknown."""
    if number.isdecimal() and len(number) < 3 and int(number) < len(_CODES):
        return _CODES[int(number)]
    return f"Code({number})" if number else "Unknown"


def encode_request(service: str) -> bytes:
    """A HealthCheckRequest; without a service it is about the whole server."""
    name = service.encode()
    message = bytes([_SERVICE_TAG]) + _varint(len(name)) + name if name else b""
    return _PREFIX.pack(0, len(message)) + message


def decode_response(data: bytes) -> ServingStatus:
    """The status in a HealthCheckResponse; UNKNOWN where it says none. ValueError for what is no such message."""
    if len(data) < _PREFIX.size:
        raise ValueError("the server sent no message")
    compressed, length = _PREFIX.unpack_from(data)
    message = data[_PREFIX.size :]
    if compressed:
        raise ValueError("the reply is compressed, though nobody asked for that")
    if length != len(message):
        raise ValueError(f"the reply has {len(message)} bytes, not {length}")
    try:
        return ServingStatus(_status(message))
    except (IndexError, ValueError) as error:
        raise ValueError(f"the reply is no HealthCheckResponse: {error}") from error


def _status(message: bytes) -> int:
    """The value of the status; the last one counts, fields of later versions are passed over."""
    position, status = 0, 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            if field == _STATUS_FIELD:
                status = value
        elif kind == _BYTES:
            length, position = _read_varint(message, position)
            position += length
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
    if position > len(message):
        raise ValueError("it breaks off")
    return status


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        octet = data[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
    raise ValueError("a number of more than ten octets")
