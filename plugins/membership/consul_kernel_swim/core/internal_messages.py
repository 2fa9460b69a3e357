"""What Serf's internal queries carry as payload: requests and answers about keys, and what is known of a name."""

from __future__ import annotations

from dataclasses import dataclass

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import Member, MemberStatus

from .serf_types import SerfType
from .wire import (
    U16_MAX,
    Fields,
    as_fields,
    as_text,
    pack,
    pack_host,
    read_bytes,
    read_flag,
    read_list,
    read_optional_bytes,
    read_struct,
    read_text,
    read_uint,
    unpack,
    unpack_address,
)

_VERSION_NAMES = (b"ProtocolMin", b"ProtocolMax", b"ProtocolCur", b"DelegateMin", b"DelegateMax", b"DelegateCur")


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """The key to install, use or remove: its raw bytes, empty or None in a request to list."""

    key: bytes | None

    def encode(self) -> bytes:
        return bytes((SerfType.KEY_REQUEST,)) + pack({"Key": self.key})


@dataclass(frozen=True, slots=True)
class KeyResponse:
    """How a member did. `keys` and `primary_key` are in base64 and only in answers to a request to list."""

    result: bool
    message: str = ""
    keys: tuple[str, ...] | None = None
    primary_key: str = ""

    def encode(self) -> bytes:
        return bytes((SerfType.KEY_RESPONSE,)) + pack(
            {
                "Keys": None if self.keys is None else list(self.keys),
                "Message": self.message,
                "PrimaryKey": self.primary_key,
                "Result": self.result,
            }
        )


def decode_key_request(payload: bytes) -> KeyRequest:
    """Type byte first. Raises PeerProtocolError."""
    fields = read_struct(_content(payload, SerfType.KEY_REQUEST), (b"Key",))
    return KeyRequest(read_optional_bytes(fields, b"Key"))


def decode_key_response(payload: bytes) -> KeyResponse:
    """Type byte first. Raises PeerProtocolError."""
    content = _content(payload, SerfType.KEY_RESPONSE)
    fields = read_struct(content, (b"Result", b"Message", b"Keys", b"PrimaryKey"))
    keys = fields.get(b"Keys")
    return KeyResponse(
        read_flag(fields, b"Result"),
        read_text(fields, b"Message"),
        None if keys is None else tuple(as_text(key, b"Keys") for key in read_list(fields, b"Keys")),
        read_text(fields, b"PrimaryKey"),
    )


def encode_conflict_response(member: Member | None) -> bytes:
    """What is known of a name: a member, or nothing."""
    fields = None
    if member is not None:
        fields = {
            "Addr": pack_host(member.address.host),
            "DelegateCur": member.delegate_cur,
            "DelegateMax": member.delegate_max,
            "DelegateMin": member.delegate_min,
            "Name": member.name,
            "Port": member.address.port,
            "ProtocolCur": member.protocol_cur,
            "ProtocolMax": member.protocol_max,
            "ProtocolMin": member.protocol_min,
            "Status": int(member.status),
            "Tags": dict(sorted(member.tags.items())),
        }
    return bytes((SerfType.CONFLICT_RESPONSE,)) + pack(fields)


def decode_conflict_response(payload: bytes) -> Member | None:
    """Type byte first. Raises PeerProtocolError."""
    content = _content(payload, SerfType.CONFLICT_RESPONSE)
    value = unpack(content)
    if value is None:
        return None
    fields = as_fields(value, (b"Name", b"Addr", b"Port", b"Tags", b"Status", *_VERSION_NAMES))
    status = read_uint(fields, b"Status", max(MemberStatus))
    versions = [read_uint(fields, name, 255) for name in _VERSION_NAMES]
    return Member(
        name=read_text(fields, b"Name"),
        address=unpack_address(read_bytes(fields, b"Addr"), read_uint(fields, b"Port", U16_MAX)),
        tags=_read_tags(fields),
        status=MemberStatus(status),
        protocol_min=versions[0],
        protocol_max=versions[1],
        protocol_cur=versions[2],
        delegate_min=versions[3],
        delegate_max=versions[4],
        delegate_cur=versions[5],
    )


def _read_tags(fields: Fields) -> dict[str, str]:
    tags = fields.get(b"Tags")
    if tags is None:
        return {}
    if not isinstance(tags, dict):
        raise PeerProtocolError("Tags is no map")
    return {as_text(name, b"Tags"): as_text(value, b"Tags") for name, value in tags.items()}


def _content(payload: bytes, kind: SerfType) -> bytes:
    if payload[:1] != bytes((kind,)):
        raise PeerProtocolError(f"a payload of type {payload[0] if payload else 'none'}, not {int(kind)}")
    return payload[1:]
