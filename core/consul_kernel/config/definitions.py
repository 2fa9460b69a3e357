"""Service and check definitions of agent files: the records of the API, with the position of every mistake."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from consul_kernel.agent.checks.kinds import BUILT_IN, check_kind
from consul_kernel.agent.checks.plugins import CheckKinds, claimed
from consul_kernel.agent.definitions import node_check, node_service, service_checks
from consul_kernel.contracts.check import REMOTE_CODE
from consul_kernel.contracts.errors import PluginLoadError, RequestError
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.decoding import DURATION_FIELDS, FieldPlan, full_plan, strip_optional
from consul_kernel.structs.service import ServiceDefinition
from consul_kernel.structs.watch import WatchDefinition

from .blocks import OptionValueError
from .problems import ProblemLog, nearest_key, plain
from .schema import KeyType
from .tree import Entry, Listing, Node, Scalar, Table, describe, to_plain, unlabelled
from .values import MAX_PORT, BadValueError, read_value

RecordT = TypeVar("RecordT", bound=msgspec.Struct)

_UNUSED_FIELDS: Mapping[type, frozenset[str]] = {
    CheckDefinition: frozenset({"os_service", "partition", "namespace"}),
    ServiceDefinition: frozenset({"partition", "namespace", "locality", "ports"}),
}
"""Keys of later or paid versions of Consul: accepted with a warning."""


def read_services(
    nodes: Iterable[Node], kinds: CheckKinds, problems: ProblemLog
) -> list[tuple[ServiceDefinition, Node]]:
    """The services that can be read, each with its node; the rest is noted in `problems`."""
    return _Reader(kinds, problems).read_all(ServiceDefinition, nodes, "services")


def read_checks(nodes: Iterable[Node], kinds: CheckKinds, problems: ProblemLog) -> list[tuple[CheckDefinition, Node]]:
    """The checks that can be read, each with its node; the rest is noted in `problems`."""
    return _Reader(kinds, problems).read_all(CheckDefinition, nodes, "checks")


def read_watches(nodes: Iterable[Node], kinds: CheckKinds, problems: ProblemLog) -> list[tuple[WatchDefinition, Node]]:
    """The watches that can be read, each with its node; the rest is noted in `problems`."""
    return _Reader(kinds, problems).read_all(WatchDefinition, nodes, "watches")


class _Reader:
    """Reads records from nodes, noting what is wrong with them; a bad value raises BadValueError after that."""

    def __init__(self, kinds: CheckKinds, problems: ProblemLog) -> None:
        self._kinds = kinds
        self._problems = problems

    def read_all(self, record_type: type[RecordT], nodes: Iterable[Node], path: str) -> list[tuple[RecordT, Node]]:
        found: list[tuple[RecordT, Node]] = []
        for index, node in enumerate(nodes):
            try:
                found.append((self._record(record_type, node, f"{path}[{index}]"), node))
            except BadValueError:
                continue
        return found

    def _record(self, record_type: type[RecordT], node: Node, path: str) -> RecordT:
        if not isinstance(node, Table):
            self._problems.error(f"expected {KeyType.BLOCK.value}, got {describe(node)}", node.position, key=path)
            raise BadValueError(path)
        fields = full_plan(record_type).fields
        by_plain = {plain(name): plan for name, plan in fields.items()}
        values: dict[str, Any] = {}
        others: list[Entry] = []
        good = True
        for entry in unlabelled(node):
            field = by_plain.get(plain(entry.key))
            if field is None:
                others += self._unless_unused(record_type, entry, path)
            elif not (isinstance(entry.value, Scalar) and entry.value.value is None):
                good = self._field(field, entry, f"{path}.{entry.key}", values) and good
        names = [plan.attribute for plan in fields.values()]
        if record_type is CheckDefinition:
            check, claims = self._claim(CheckDefinition(**values), others, names, node, path)
            record: Any = check
            good = claims and good
        else:
            record = record_type(**values)
            for entry in others:
                good = self._unknown(entry, names, path)
        if not good:
            raise BadValueError(path)
        found: RecordT = record
        return found

    def _unless_unused(self, record_type: type, entry: Entry, path: str) -> list[Entry]:
        if entry.key.lower() not in _UNUSED_FIELDS.get(record_type, frozenset()):
            return [entry]
        text = "is accepted, but has no effect in this version"
        self._problems.warn(text, entry.position, key=f"{path}.{entry.key}")
        return []

    def _unknown(self, entry: Entry, known: Iterable[str], path: str) -> bool:
        suggestion = "" if self._problems.is_full else nearest_key(entry.key, known)
        self._problems.error("unknown key", entry.position, key=f"{path}.{entry.key}", suggestion=suggestion)
        return False

    def _claim(
        self, check: CheckDefinition, entries: Sequence[Entry], names: Sequence[str], node: Node, path: str
    ) -> tuple[CheckDefinition, bool]:
        """The check with those keys that belong to the plugin that carries it out; whether all did, and were good."""
        if not entries:
            return check, True
        try:
            kind = self._kinds.choose(check, [entry.key for entry in entries])
            fields = self._kinds.fields(kind) if kind in self._kinds.names() else {}
        except (RequestError, PluginLoadError) as error:
            self._problems.error(str(error), node.position, key=path)
            return check, False
        known = [*names, *self._kinds.names(), *fields.values()]
        options: dict[str, Any] = {}
        good = True
        for entry in entries:
            name = fields.get(plain(entry.key))
            if name is None:
                good = self._unknown(entry, known, path)
                continue
            value = to_plain(entry.value).value
            try:
                if value is not None:
                    self._kinds.check_value(kind, name, value)
                    options[name] = value
            except OptionValueError as error:
                self._problems.error(str(error), entry.position, key=f"{path}.{entry.key}")
                good = False
        return claimed(check, kind, options), good

    def _field(self, field: FieldPlan, entry: Entry, path: str, values: dict[str, Any]) -> bool:
        """Read one field into `values`; whether it was good. `check` blocks that come again go with `checks`."""
        name = field.attribute
        try:
            value = self._convert(strip_optional(field.type), name, entry.value, path)
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

    def _convert(self, hint: Any, name: str, node: Node, path: str) -> Any:
        origin = typing.get_origin(hint)
        if origin is list:
            return self._list(typing.get_args(hint)[0], node, path)
        if origin is dict:
            return self._dict(typing.get_args(hint)[1], node, path)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            inner = node.items[0] if isinstance(node, Listing) and len(node.items) == 1 else node
            return self._record(hint, inner, path)
        if hint is int and name in DURATION_FIELDS:
            if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool):
                return read_value(KeyType.INT, node, path, self._problems)  # nanoseconds, as over HTTP
            return read_value(KeyType.DURATION, node, path, self._problems)
        kind = _KINDS.get(hint)
        return read_value(kind, node, path, self._problems) if kind is not None else to_plain(node).value

    def _list(self, hint: Any, node: Node, path: str) -> list[Any]:
        if hint is str:
            return list(read_value(KeyType.TEXTS, node, path, self._problems))
        items = node.items if isinstance(node, Listing) else (node,)
        return [self._convert(strip_optional(hint), "", item, f"{path}[{index}]") for index, item in enumerate(items)]

    def _dict(self, hint: Any, node: Node, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for table in node.items if isinstance(node, Listing) else (node,):
            if not isinstance(table, Table):
                self._problems.error(f"expected {KeyType.BLOCK.value}, got {describe(table)}", table.position, key=path)
                raise BadValueError(path)
            for entry in unlabelled(table):
                result[entry.key] = self._convert(strip_optional(hint), "", entry.value, f"{path}.{entry.key}")
        return result


_KINDS: Mapping[Any, KeyType] = {str: KeyType.TEXT, bool: KeyType.BOOL, int: KeyType.INT, float: KeyType.FLOAT}


# --- what a definition must be, whatever its types ---


def service_faults(service: ServiceDefinition, kinds: CheckKinds) -> Iterable[str]:
    """Why a service cannot be registered: what the agent would say, and what only files are asked."""
    if not 0 <= service.port <= MAX_PORT:
        yield f"port {service.port} is not in 0 to {MAX_PORT}"
    if service.socket_path and (service.address or service.port):
        yield "cannot have both socket path and address/port"
    checks: Sequence[CheckDefinition] = ()
    try:
        node_service(service)
    except RequestError as error:
        yield str(error)
    try:
        checks = service_checks(service)
    except RequestError as error:
        yield str(error)
    for check in checks:
        yield from _plugin_faults(check, kinds)


def check_faults(check: CheckDefinition, kinds: CheckKinds) -> Iterable[str]:
    """Why a check cannot be registered, as the agent would say."""
    try:
        node_check(check)
    except RequestError as error:
        yield str(error)
    else:
        yield from _plugin_faults(check, kinds)


def _plugin_faults(check: CheckDefinition, kinds: CheckKinds) -> Iterable[str]:
    """What the plugin that carries a check out says of it."""
    kind = check_kind(check)
    if kind in BUILT_IN:
        return
    try:
        kinds.config(check, kinds.plugin(kind))
    except (RequestError, PluginLoadError) as error:
        yield str(error)


def runs_commands(check: CheckDefinition, kinds: CheckKinds) -> bool:
    """Whether a check runs commands on this host or in its containers; no for one whose plugin does not work."""
    kind = check_kind(check)
    try:
        return kind not in ("", *BUILT_IN) and REMOTE_CODE in kinds.plugin(kind).capabilities
    except PluginLoadError:
        return False
