"""Service and check definitions of agent files: the records of the API, with the position of every mistake."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from consul_kernel.agent.definitions import node_check, node_service, service_checks
from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.decoding import DURATION_FIELDS, FieldPlan, full_plan, strip_optional
from consul_kernel.structs.service import ServiceDefinition

from .problems import ProblemLog, nearest_key, plain
from .schema import KeyType
from .tree import Entry, Listing, Node, Scalar, Table, describe, to_plain, unlabelled
from .values import MAX_PORT, BadValueError, read_value

RecordT = TypeVar("RecordT", bound=msgspec.Struct)

_UNUSED_FIELDS: Mapping[type, frozenset[str]] = {
    CheckDefinition: frozenset({"h2ping_use_tls", "os_service", "udp", "partition", "namespace"}),
    ServiceDefinition: frozenset({"partition", "namespace", "locality", "ports"}),
}
"""Keys of later or paid versions of Consul: accepted with a warning."""


def read_services(nodes: Iterable[Node], problems: ProblemLog) -> list[tuple[ServiceDefinition, Node]]:
    """The services that can be read, each with its node; the rest is noted in `problems`."""
    return _read_all(ServiceDefinition, nodes, "services", problems)


def read_checks(nodes: Iterable[Node], problems: ProblemLog) -> list[tuple[CheckDefinition, Node]]:
    """The checks that can be read, each with its node; the rest is noted in `problems`."""
    return _read_all(CheckDefinition, nodes, "checks", problems)


def _read_all(
    record_type: type[RecordT], nodes: Iterable[Node], path: str, problems: ProblemLog
) -> list[tuple[RecordT, Node]]:
    found: list[tuple[RecordT, Node]] = []
    for index, node in enumerate(nodes):
        try:
            found.append((_read_record(record_type, node, f"{path}[{index}]", problems), node))
        except BadValueError:
            continue
    return found


def _read_record(record_type: type[RecordT], node: Node, path: str, problems: ProblemLog) -> RecordT:
    """One record. Raises BadValueError after noting everything that is wrong with it."""
    if not isinstance(node, Table):
        problems.error(f"expected {KeyType.BLOCK.value}, got {describe(node)}", node.position, key=path)
        raise BadValueError(path)
    fields = full_plan(record_type).fields
    by_plain = {plain(name): plan for name, plan in fields.items()}
    values: dict[str, Any] = {}
    good = True
    for entry in unlabelled(node):
        field = by_plain.get(plain(entry.key))
        entry_path = f"{path}.{entry.key}"
        if field is None:
            good = _unknown(record_type, entry, entry_path, fields, problems) and good
        elif not (isinstance(entry.value, Scalar) and entry.value.value is None):
            good = _read_field(field, entry, entry_path, values, problems) and good
    if not good:
        raise BadValueError(path)
    return record_type(**values)


def _unknown(record_type: type, entry: Entry, path: str, fields: Mapping[str, FieldPlan], problems: ProblemLog) -> bool:
    if entry.key.lower() in _UNUSED_FIELDS.get(record_type, frozenset()):
        problems.warn("is accepted, but has no effect in this version", entry.position, key=path)
        return True
    names = {plan.attribute for plan in fields.values()}
    suggestion = "" if problems.is_full else nearest_key(entry.key, names)
    problems.error("unknown key", entry.position, key=path, suggestion=suggestion)
    return False


def _read_field(field: FieldPlan, entry: Entry, path: str, values: dict[str, Any], problems: ProblemLog) -> bool:
    """Read one field into `values`; whether it was good. `check` blocks that come again go with `checks`."""
    name = field.attribute
    try:
        value = _convert(strip_optional(field.type), name, entry.value, path, problems)
    except BadValueError:
        return False
    before = values.get(name)
    if isinstance(before, list) and isinstance(value, list) and name == "checks":
        before.extend(value)
    elif isinstance(before, dict) and isinstance(value, dict):
        before.update(value)
    elif before is not None and name == "check":
        values.setdefault("checks", []).append(value)
    else:
        values[name] = value
    return True


def _convert(hint: Any, name: str, node: Node, path: str, problems: ProblemLog) -> Any:
    origin = typing.get_origin(hint)
    if origin is list:
        return _convert_list(typing.get_args(hint)[0], node, path, problems)
    if origin is dict:
        return _convert_dict(typing.get_args(hint)[1], node, path, problems)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        inner = node.items[0] if isinstance(node, Listing) and len(node.items) == 1 else node
        return _read_record(hint, inner, path, problems)
    if hint is int and name in DURATION_FIELDS:
        if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool):
            return read_value(KeyType.INT, node, path, problems)  # nanoseconds, as over HTTP
        return read_value(KeyType.DURATION, node, path, problems)
    kind = _KINDS.get(hint)
    return read_value(kind, node, path, problems) if kind is not None else to_plain(node).value


_KINDS: Mapping[Any, KeyType] = {str: KeyType.TEXT, bool: KeyType.BOOL, int: KeyType.INT, float: KeyType.FLOAT}


def _convert_list(hint: Any, node: Node, path: str, problems: ProblemLog) -> list[Any]:
    if hint is str:
        return list(read_value(KeyType.TEXTS, node, path, problems))
    items = node.items if isinstance(node, Listing) else (node,)
    return [_convert(strip_optional(hint), "", item, f"{path}[{index}]", problems) for index, item in enumerate(items)]


def _convert_dict(hint: Any, node: Node, path: str, problems: ProblemLog) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for table in node.items if isinstance(node, Listing) else (node,):
        if not isinstance(table, Table):
            problems.error(f"expected {KeyType.BLOCK.value}, got {describe(table)}", table.position, key=path)
            raise BadValueError(path)
        for entry in unlabelled(table):
            result[entry.key] = _convert(strip_optional(hint), "", entry.value, f"{path}.{entry.key}", problems)
    return result


# --- what a definition must be, whatever its types ---


def service_faults(service: ServiceDefinition) -> Iterable[str]:
    """Why a service cannot be registered: what the agent would say, and what only files are asked."""
    if not 0 <= service.port <= MAX_PORT:
        yield f"port {service.port} is not in 0 to {MAX_PORT}"
    if service.socket_path and (service.address or service.port):
        yield "cannot have both socket path and address/port"
    for register in (node_service, service_checks):
        try:
            register(service)
        except RequestError as error:
            yield str(error)


def check_faults(check: CheckDefinition) -> Iterable[str]:
    """Why a check cannot be registered, as the agent would say."""
    try:
        node_check(check)
    except RequestError as error:
        yield str(error)
