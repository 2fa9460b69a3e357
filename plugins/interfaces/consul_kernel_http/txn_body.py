"""The body of `/v1/txn`: operations in the shape of Consul's Go client, made into those of the calls between agents.

(Consul: agent/txn_endpoint.go, the types of api/txn.go. A session cannot be ended here, only by the call itself.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import HealthCheck, HealthCheckDefinition
from consul_kernel.structs.decoding import decode_record, json_kind
from consul_kernel.structs.go_json import decode_json
from consul_kernel.structs.kv import DirEntry, KVOp
from consul_kernel.structs.node import Node
from consul_kernel.structs.record import Record
from consul_kernel.structs.service import NodeService, ServiceAddress, Weights
from consul_kernel.structs.txn import TxnCheckOp, TxnKVOp, TxnNodeOp, TxnOp, TxnServiceOp, TxnVerb

_DURATIONS = ("interval", "timeout", "deregistercriticalserviceafter")
_KV_WRITES = frozenset(KVOp)


class KVTxnOp(Record, kw_only=True):
    """An operation on a key."""

    verb: str = ""
    key: str = ""
    value: bytes | None = None
    flags: int = 0
    index: int = 0
    session: str = ""
    namespace: str = ""


class NodeTxnOp(Record, kw_only=True):
    """An operation on a node."""

    verb: str = ""
    node: Node = field(default_factory=Node)


class AgentWeights(Record, kw_only=True):
    """Weights of a service; what is left out is 0, which stands for the usual ones."""

    passing: int = 0
    warning: int = 0


class AgentService(Record, kw_only=True):
    """A service instance; namespace and content hash are taken and not used."""

    kind: str = ""
    id: str = ""
    service: str = ""
    tags: list[str] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    address: str = ""
    socket_path: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    weights: AgentWeights = field(default_factory=AgentWeights)
    enable_tag_override: bool = False
    create_index: int = 0
    modify_index: int = 0
    content_hash: str = ""
    proxy: dict[str, Any] | None = None
    connect: dict[str, Any] | None = None
    namespace: str = ""
    datacenter: str = ""


class ServiceTxnOp(Record, kw_only=True):
    """An operation on a service instance of a node."""

    verb: str = ""
    node: str = ""
    service: AgentService = field(default_factory=AgentService)


class ClientHealthCheck(Record, kw_only=True):
    """A check; type, port and namespace are taken and not used."""

    node: str = ""
    check_id: str = ""
    name: str = ""
    status: str = ""
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: list[str] | None = None
    type: str = ""
    namespace: str = ""
    exposed_port: int = 0
    definition: dict[str, Any] | None = None
    create_index: int = 0
    modify_index: int = 0


class ClientDefinition(Record, kw_only=True):
    """What Consul's Go client knows of how a check is carried out."""

    http: str = ""
    header: dict[str, list[str]] | None = None
    method: str = ""
    body: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    tcp: str = ""
    interval: int = 0
    timeout: int = 0
    deregister_critical_service_after: int = 0


_DEFINITION_FIELDS = frozenset(
    {"http", "header", "method", "body", "tlsservername", "tlsskipverify", "tcp", *_DURATIONS}
)


class CheckTxnOp(Record, kw_only=True):
    """An operation on a check."""

    verb: str = ""
    check: ClientHealthCheck = field(default_factory=ClientHealthCheck)


class BodyOp(Record, kw_only=True):
    """One operation: the first that is there counts."""

    kv: KVTxnOp | None = None
    node: NodeTxnOp | None = None
    service: ServiceTxnOp | None = None
    check: CheckTxnOp | None = None


def decode_ops(body: bytes) -> list[BodyOp]:
    """The operations of a body. RequestError with Go's text when it is malformed."""
    value = decode_json(body)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RequestError(f"json: cannot unmarshal {json_kind(value)} into Go value of type api.TxnOps")
    return [_decode_op(item) for item in value if item is not None]


def _decode_op(item: Any) -> BodyOp:
    if not isinstance(item, Mapping):
        raise RequestError(f"json: cannot unmarshal {json_kind(item)} into Go value of type api.TxnOp")
    op = decode_record(BodyOp, item)
    if op.kv is not None:
        for name, number in (("Flags", op.kv.flags), ("Index", op.kv.index)):
            if number < 0:
                raise RequestError(
                    f"json: cannot unmarshal number {number} into Go struct field KVTxnOp.{name} of type uint64"
                )
    return op


def is_write(op: BodyOp) -> bool:
    """Whether an operation makes the transaction one with writes."""
    if op.kv is not None:
        return op.kv.verb in _KV_WRITES
    other = op.node or op.service or op.check
    return other is not None and other.verb != TxnVerb.GET


def to_txn_ops(ops: list[BodyOp]) -> list[TxnOp]:
    """The operations as the calls between agents have them. One that is empty is left out, as Consul does."""
    return [converted for op in ops if (converted := _to_txn_op(op)) is not None]


def _to_txn_op(op: BodyOp) -> TxnOp | None:
    if op.kv is not None:
        return TxnOp(kv=_kv_op(op.kv))
    if op.node is not None:
        return TxnOp(node=TxnNodeOp(verb=op.node.verb, node=op.node.node))
    if op.service is not None:
        service = TxnServiceOp(verb=op.service.verb, node=op.service.node, service=_service(op.service.service))
        return TxnOp(service=service)
    if op.check is not None:
        return TxnOp(check=TxnCheckOp(verb=op.check.verb, check=_check(op.check.check)))
    return None


def _kv_op(op: KVTxnOp) -> TxnKVOp:
    entry = DirEntry(
        key=op.key.encode("utf-8", "surrogatepass"),
        value=op.value or None,
        flags=op.flags,
        session=op.session,
        modify_index=op.index,
    )
    return TxnKVOp(verb=op.verb, dir_ent=entry)


def _service(service: AgentService) -> NodeService:
    return NodeService(
        kind=service.kind,
        id=service.id,
        service=service.service,
        tags=service.tags,
        address=service.address,
        tagged_addresses=service.tagged_addresses,
        meta=service.meta,
        port=service.port,
        socket_path=service.socket_path,
        weights=Weights(passing=service.weights.passing, warning=service.weights.warning),
        enable_tag_override=service.enable_tag_override,
        proxy=service.proxy,
        modify_index=service.modify_index,
    )


def _check(check: ClientHealthCheck) -> HealthCheck:
    return HealthCheck(
        node=check.node,
        check_id=check.check_id,
        name=check.name,
        status=check.status,
        notes=check.notes,
        output=check.output,
        service_id=check.service_id,
        service_name=check.service_name,
        service_tags=check.service_tags,
        definition=_definition(check.definition or {}),
        modify_index=check.modify_index,
    )


def _definition(given: Mapping[str, Any]) -> HealthCheckDefinition:
    """Unknown fields are ignored in here. `IntervalDuration` and its like are other names, which old clients send."""
    fields = {key.lower(): item for key, item in given.items()}
    for name in _DURATIONS:
        other = fields.get(f"{name}duration")
        if not fields.get(name) and other is not None:
            fields[name] = other
    read = decode_record(ClientDefinition, {key: item for key, item in fields.items() if key in _DEFINITION_FIELDS})
    return HealthCheckDefinition(
        http=read.http,
        tls_server_name=read.tls_server_name,
        tls_skip_verify=read.tls_skip_verify,
        header=read.header,
        method=read.method,
        body=read.body,
        tcp=read.tcp,
        interval=read.interval,
        timeout=read.timeout,
        deregister_critical_service_after=read.deregister_critical_service_after,
    )
