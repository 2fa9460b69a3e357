"""An agent that answers what a test tells it to: the other side of every interface's tests.

agent = FakeAgent()
agent.answer(KVS_GET, IndexedDirEntries(index=7, entries=[...]))           # one record for every call
agent.answer(KVS_GET, lambda request: IndexedDirEntries(...))              # made from the request
agent.answer(KVS_GET, RpcError("No path to datacenter"))                   # raised
await agent.call(KVS_GET, KeyRequest(key=b"a"))
agent.requests(KVS_GET)                                                    # what was asked
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from consul_kernel.contracts.errors import AgentError, MembershipError, RpcError
from consul_kernel.contracts.interface import SavedSnapshot
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck
from consul_kernel.structs.check_keys import ClaimKeys, refuse_keys
from consul_kernel.structs.methods import Method
from consul_kernel.structs.metrics import MetricsSummary
from consul_kernel.structs.service import NodeService, ServiceDefinition, Weights
from consul_kernel.structs.snapshot import SnapshotRequest, SnapshotResponse

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

_MAX_CALLS_KEPT = 10_000

DEFAULT_MEMBER = Member(
    name="node1",
    address=Address("127.0.0.1", 8301),
    tags={"role": "consul", "dc": "dc1", "segment": "", "id": "11111111-2222-3333-4444-555555555555", "port": "8300"},
    status=MemberStatus.ALIVE,
)


class FakeRegistry:
    """A LocalRegistry on two dicts, which a test may also fill by hand. No check ever runs."""

    def __init__(self) -> None:
        self.services_by_id: dict[str, NodeService] = {}
        self.checks_by_id: dict[str, HealthCheck] = {}
        self.service_definitions: list[ServiceDefinition] = []
        """Every definition that was registered, in order."""
        self.check_definitions: list[CheckDefinition] = []
        """Every check definition that was registered on its own, in order."""
        self.replaced_checks: list[bool] = []
        """The `replace_existing_checks` of every service registration, in order."""
        self.service_changed = asyncio.Event()
        """Set by a test, it wakes whoever waits for a change of a service."""
        self.waits: list[tuple[str, float]] = []
        """Id and time of everybody who waited for a change of a service."""
        self.maintenance: dict[str, str] = {}
        """The reason of everything that is out of service, by service id; "" is the node."""
        self.refusal: Exception | None = None
        """When set, every change raises it."""
        self.claim: ClaimKeys = refuse_keys
        """What becomes of keys that no check definition has."""

    def services(self) -> Mapping[str, NodeService]:
        return self.services_by_id

    def checks(self) -> Mapping[str, HealthCheck]:
        return self.checks_by_id

    def register_service(
        self, definition: ServiceDefinition, *, replace_existing_checks: bool = False, token: str = ""
    ) -> None:
        self._raise_refusal()
        service_id = definition.id or definition.name
        self.service_definitions.append(definition)
        self.replaced_checks.append(replace_existing_checks)
        self.services_by_id[service_id] = NodeService(
            kind=definition.kind,
            id=service_id,
            service=definition.name,
            tags=definition.tags or [],
            address=definition.address,
            tagged_addresses=definition.tagged_addresses,
            meta=definition.meta or {},
            port=definition.port,
            socket_path=definition.socket_path,
            weights=definition.weights or Weights(),
            enable_tag_override=definition.enable_tag_override,
            proxy=definition.proxy,
        )

    def deregister_service(self, service_id: str) -> None:
        self._raise_refusal()
        self.services_by_id.pop(service_id, None)

    def register_check(self, definition: CheckDefinition, *, token: str = "") -> None:
        self._raise_refusal()
        self.check_definitions.append(definition)
        check_id = definition.id or definition.check_id or definition.name
        self.checks_by_id[check_id] = HealthCheck(
            node=DEFAULT_MEMBER.name,
            check_id=check_id,
            name=definition.name,
            status=definition.status or CheckStatus.CRITICAL,
            service_id=definition.service_id,
            notes=definition.notes,
        )

    def claim_keys(self, definition: CheckDefinition, keys: Mapping[str, Any]) -> CheckDefinition:
        return self.claim(definition, keys)

    def deregister_check(self, check_id: str) -> None:
        self._raise_refusal()
        self.checks_by_id.pop(check_id, None)

    def update_ttl_check(self, check_id: str, status: CheckStatus, output: str) -> None:
        self._raise_refusal()
        check = self.checks_by_id.get(check_id)
        if check is None:
            raise AgentError(f'CheckID "{check_id}" does not have associated TTL')
        check.status, check.output = status, output

    def enable_node_maintenance(self, reason: str, *, token: str = "") -> None:
        self._raise_refusal()
        self.maintenance[""] = reason

    def enable_service_maintenance(self, service_id: str, reason: str, *, token: str = "") -> None:
        self._raise_refusal()
        self.maintenance[service_id] = reason

    def disable_node_maintenance(self) -> None:
        self._raise_refusal()
        self.maintenance.pop("", None)

    def disable_service_maintenance(self, service_id: str) -> None:
        self._raise_refusal()
        self.maintenance.pop(service_id, None)

    async def wait_for_change(self, service_id: str, timeout_s: float) -> bool:
        self.waits.append((service_id, timeout_s))
        try:
            async with asyncio.timeout(timeout_s):
                await self.service_changed.wait()
        except TimeoutError:
            return False
        self.service_changed.clear()
        return True

    async def synced(self) -> None:
        """There is no catalog to wait for."""

    def _raise_refusal(self) -> None:
        if self.refusal is not None:
            raise self.refusal


class FakeLog:
    """A log to which a test writes (`lines.put_nowait`); None ends it."""

    def __init__(self, level: str, *, as_json: bool) -> None:
        self.level = level
        self.as_json = as_json
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_closed = asyncio.Event()

    def __aiter__(self) -> FakeLog:
        return self

    async def __anext__(self) -> bytes:
        line = await self.lines.get()
        if line is None:
            raise StopAsyncIteration
        return line

    async def aclose(self) -> None:
        self.is_closed.set()


class FakeAgent:
    """An AgentApi whose calls are answered from a table that the test fills.

    A method without an answer raises RpcError, as an endpoint that nobody serves does. Every call is kept
    (the newest 10,000).
    """

    def __init__(
        self, *, node_name: str = "node1", datacenter: str = "dc1", is_server: bool = True, member: Member | None = None
    ) -> None:
        self._node_name = node_name
        self._datacenter = datacenter
        self._is_server = is_server
        self._answers: dict[str, Any] = {}
        self._default: Any = None
        self._member = DEFAULT_MEMBER if member is None else member
        self._registry = FakeRegistry()
        self.answers_at_once = True
        """Whether replies that a test has written down come by `read_at_once`; without it, by `call` alone."""
        self.calls: list[tuple[str, Any]] = []
        """Name and request of every call, in order."""
        self.lan_members: list[Member] = [self._member]
        self.wan_members: list[Member] | None = None
        """None: this agent is in no WAN pool."""
        self.joined: list[tuple[tuple[str, ...], bool]] = []
        """Addresses and `wan` of every join."""
        self.join_refusal: Exception | None = None
        self.forced: list[tuple[str, bool]] = []
        """Node and `prune` of every force_leave."""
        self.has_left = False
        self.metrics_summary = MetricsSummary("", [], [], [], [])
        self.prometheus_text: str | None = None
        self.logs: list[FakeLog] = []
        """What is listened to, with the level that was asked for."""
        self.monitor_refusal: Exception | None = None
        self.host_description: dict[str, Any] = {"CPU": []}
        self.reloads = 0
        self.reload_refusal: Exception | None = None
        self.archive: list[bytes | Exception] = []
        """The pieces of the archive that is saved; an exception breaks it off."""
        self.snapshot_response = SnapshotResponse(index=1, known_leader=True)
        self.snapshot_requests: list[SnapshotRequest] = []
        self.snapshot_refusal: Exception | None = None
        self.restored: list[bytes] = []
        """Every archive that was to be restored."""
        self.description: dict[str, Any] = {"Config": {"NodeName": node_name, "Datacenter": datacenter}}

    # --- what a test says ---

    def answer(
        self,
        method: Method[RequestT, ReplyT],
        answer: ReplyT | Exception | Callable[[RequestT], ReplyT | Awaitable[ReplyT]],
    ) -> None:
        """Answer all later calls of a method with a reply, an exception, or what a function makes of the request."""
        self._answers[method.name] = answer

    def answer_all(self, answer: Callable[[Any], Any] | Exception) -> None:
        """Answer every method that has no answer of its own with an exception, or with what a function returns."""
        self._default = answer

    def requests(self, method: Method[RequestT, ReplyT]) -> list[RequestT]:
        """Every request of a method so far, in order."""
        return [request for name, request in self.calls if name == method.name]

    # --- AgentApi ---

    @property
    def node_name(self) -> str:
        return self._node_name

    @property
    def node_id(self) -> str:
        return self._member.tags.get("id", "")

    @property
    def datacenter(self) -> str:
        return self._datacenter

    @property
    def is_server(self) -> bool:
        return self._is_server

    @property
    def local(self) -> FakeRegistry:
        return self._registry

    def _note(self, method: Method[Any, Any], request: Any) -> None:
        self.calls.append((method.name, request))
        if len(self.calls) > _MAX_CALLS_KEPT:
            del self.calls[0]

    async def call(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
        self._note(method, request)
        answer = self._answers.get(method.name, self._default)
        if answer is None:
            raise RpcError(f"rpc: can't find method {method.name}")
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
            if inspect.isawaitable(answer):
                answer = await answer
        reply: ReplyT = answer
        return reply

    def read_at_once(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT | None:
        """A reply that a test has written down; one that is yet to be made, or a failure, comes by `call`."""
        answer = self._answers.get(method.name, self._default)
        if not self.answers_at_once or answer is None or isinstance(answer, Exception) or callable(answer):
            return None
        self._note(method, request)
        reply: ReplyT = answer
        return reply

    async def save_snapshot(self, request: SnapshotRequest) -> SavedSnapshot:
        self.snapshot_requests.append(request)
        self._raise_snapshot_refusal()
        return SavedSnapshot(self.snapshot_response, self._archive())

    async def restore_snapshot(self, request: SnapshotRequest, archive: AsyncIterator[bytes]) -> None:
        self.snapshot_requests.append(request)
        self._raise_snapshot_refusal()
        self.restored.append(b"".join([piece async for piece in archive]))

    async def _archive(self) -> AsyncGenerator[bytes, None]:
        for piece in self.archive:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def _raise_snapshot_refusal(self) -> None:
        if self.snapshot_refusal is not None:
            raise self.snapshot_refusal

    def local_member(self) -> Member:
        return self._member

    def members(self, *, wan: bool = False) -> Sequence[Member]:
        if not wan:
            return self.lan_members
        if self.wan_members is None:
            raise MembershipError("This agent is in no WAN pool")
        return self.wan_members

    async def join(self, addresses: Sequence[str], *, wan: bool = False) -> int:
        self.joined.append((tuple(addresses), wan))
        if self.join_refusal is not None:
            raise self.join_refusal
        return len(addresses)

    async def force_leave(self, node: str, *, prune: bool = False) -> None:
        if all(member.name != node for member in self.lan_members):
            raise MembershipError(f"agent: No node found with name '{node}'")
        self.forced.append((node, prune))

    async def leave(self) -> None:
        self.has_left = True

    def monitor(self, level: str, *, as_json: bool) -> FakeLog:
        if self.monitor_refusal is not None:
            raise self.monitor_refusal
        log = FakeLog(level, as_json=as_json)
        self.logs.append(log)
        return log

    async def describe_host(self) -> Mapping[str, Any]:
        return self.host_description

    async def reload(self) -> None:
        self.reloads += 1
        if self.reload_refusal is not None:
            raise self.reload_refusal

    def metrics(self) -> MetricsSummary:
        return self.metrics_summary

    def prometheus(self) -> str | None:
        return self.prometheus_text

    def describe(self) -> Mapping[str, Any]:
        return self.description
