"""What a watch asks for: the request of each type, which parameters it takes, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from consul_kernel.structs.watch import WatchDefinition

from .results import KeyValue, ServiceEntry, WatchedCheck, WatchedEvent, WatchedNode

Query = list[tuple[str, str]]

ANY_STATE = "any"
EVENT = "event"
_MESH_TYPES = frozenset({"connect_roots", "connect_leaf"})
_PARAMETERS = ("stale", "key", "prefix", "service", "tag", "passingonly", "state", "name", "filter")
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class _Kind:
    """One type of watch. `required` names the parameter without which there is nothing to watch."""

    parameters: frozenset[str]
    result: Any
    path: Callable[[WatchDefinition], str]
    query: Callable[[WatchDefinition], Query] = lambda _: []
    required: str = ""
    is_single: bool = False
    """Whether the answer is a list of one, of which that one is the result."""


def _service_query(watch: WatchDefinition) -> Query:
    passing = [("passing", "1")] if watch.passingonly else []
    return [*(("tag", tag) for tag in watch.tags()), *passing, *_filter(watch)]


def _filter(watch: WatchDefinition) -> Query:
    return [("filter", watch.filter)] if watch.filter else []


def _checks_path(watch: WatchDefinition) -> str:
    return f"/v1/health/checks/{watch.service}" if watch.service else f"/v1/health/state/{watch.state or ANY_STATE}"


_KINDS = {
    "key": _Kind(
        frozenset({"stale", "key"}),
        list[KeyValue] | None,
        lambda watch: f"/v1/kv/{watch.key.removeprefix('/')}",
        required="key",
        is_single=True,
    ),
    "keyprefix": _Kind(
        frozenset({"stale", "prefix"}),
        list[KeyValue] | None,
        lambda watch: f"/v1/kv/{watch.prefix.removeprefix('/')}",
        lambda _: [("recurse", "")],
        required="prefix",
    ),
    "services": _Kind(frozenset({"stale", "filter"}), dict[str, list[str]], lambda _: "/v1/catalog/services", _filter),
    "nodes": _Kind(frozenset({"stale", "filter"}), list[WatchedNode], lambda _: "/v1/catalog/nodes", _filter),
    "service": _Kind(
        frozenset({"stale", "service", "tag", "passingonly", "filter"}),
        list[ServiceEntry],
        lambda watch: f"/v1/health/service/{watch.service}",
        _service_query,
        required="service",
    ),
    "checks": _Kind(frozenset({"stale", "service", "state", "filter"}), list[WatchedCheck], _checks_path, _filter),
    EVENT: _Kind(
        frozenset({"name"}),
        list[WatchedEvent],
        lambda _: "/v1/event/list",
        lambda watch: [("name", watch.name)] if watch.name else [],
    ),
}
TYPES = tuple(_KINDS)


class Plan:
    """The requests of one watch, whose definition has no faults."""

    def __init__(self, watch: WatchDefinition) -> None:
        self._watch = watch
        self._kind = _KINDS[watch.type]

    @property
    def path(self) -> str:
        """The path to GET, not escaped."""
        return self._kind.path(self._watch)

    def query(self, index: int, wait_ms: int) -> Query:
        """What to ask for, and from which index on; 0 for what there is. Datacenter and consistency are not in it."""
        waits = [("index", str(index)), ("wait", f"{wait_ms}ms")] if index else []
        return [*self._kind.query(self._watch), *waits]

    def read(self, status: int, body: bytes) -> Any:
        """The result in an answer of 200, or of 404 where nothing is there. ValueError for a body that is none."""
        if status == _NOT_FOUND:
            return None
        result = msgspec.json.decode(body, type=self._kind.result)
        return (result[0] if result else None) if self._kind.is_single else result


def faults(watch: WatchDefinition) -> Iterator[str]:
    """Why there is nothing to be watched, in Consul's words."""
    kind = _KINDS.get(watch.type)
    if kind is None:
        yield f"Unsupported watch type: {watch.type}" if watch.type else "Watch type must be specified"
        return
    if kind.required and not getattr(watch, kind.required):
        yield f"Must specify a single {kind.required} to watch"
    if watch.type == "checks" and watch.service and watch.state:
        yield "Cannot specify service and state"
    if watch.tag is not None and not _is_texts(watch.tag):
        yield "Expecting tag to be a string or []string"
    unknown = [name for name in _PARAMETERS if getattr(watch, name) and name not in kind.parameters]
    if unknown:
        yield f"Invalid parameters: [{' '.join(unknown)}]"


def _is_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def handler_faults(watch: WatchDefinition) -> Iterator[str]:
    """Why an agent would not know what to do with what a watch sees, in Consul's words."""
    if watch.type in _MESH_TYPES:
        yield f"Watch type {watch.type} is not allowed in agent config"
        return
    yield from faults(watch)
    config = watch.http_handler_config
    if watch.handler_type not in {"", "http", "script"}:
        yield f"Handler type '{watch.handler_type}' not recognized"
        return
    is_http = watch.handler_type == "http"
    if is_http and config is None:
        yield "Handler type 'http' requires 'http_handler_config' to be set"
    elif is_http and config is not None and not config.path:
        yield "Failed to parse 'http_handler_config': Requires 'path' to be set"
    elif not is_http and config is not None:
        yield "Invalid parameters: [http_handler_config]"
    if (bool(watch.handler), bool(watch.args), is_http).count(True) > 1:
        yield "Only one watch handler allowed"
    elif not watch.runs_command() and not is_http:
        yield "Must define a watch handler"
