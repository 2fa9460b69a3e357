"""Interface: a way for the outside to reach an agent, such as HTTP or DNS.

An interface sees the agent through `AgentApi` only; every read and write of the catalog and the keys goes
through `AgentApi.call`, the same path that other agents' requests take.

Clauses: docs/contracts/interface.md. Kit: `consul_kernel.testing.interface_kit`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck
from consul_kernel.structs.methods import Method
from consul_kernel.structs.metrics import MetricsSummary
from consul_kernel.structs.service import NodeService, ServiceDefinition
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.structs.snapshot import SnapshotRequest, SnapshotResponse

from .dns_answer import DEFAULT_ANSWERS, DnsAnswers
from .membership import Member
from .metrics import NO_METRICS, Metrics
from .plugin import Plugin
from .transport import Address

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


class LocalRegistry(Protocol):
    """The services and checks that were registered with this agent; it keeps the catalog in step with them.

    Changes take effect here at once and reach the catalog soon after. Errors are RequestError (bad
    definition) and NotFoundError (unknown id), with Consul's texts.
    """

    def services(self) -> Mapping[str, NodeService]:
        """By service id. Read only."""
        ...

    def checks(self) -> Mapping[str, HealthCheck]:
        """By check id, with the latest status and output. Read only."""
        ...

    def register_service(
        self, definition: ServiceDefinition, *, replace_existing_checks: bool = False, token: str = ""
    ) -> None:
        """Add or replace a service and its checks."""
        ...

    def deregister_service(self, service_id: str) -> None:
        """Remove a service and its checks."""
        ...

    def register_check(self, definition: CheckDefinition, *, token: str = "") -> None:
        """Add or replace a check of the node or of a service."""
        ...

    def claim_keys(self, definition: CheckDefinition, keys: Mapping[str, Any]) -> CheckDefinition:
        """The definition with those keys of a body that its record lacks: they belong to check plugins.

        For `structs.decoding.decode_record`. RequestError, `json: unknown field "x"`, for a key that is nobody's.
        """
        ...

    def deregister_check(self, check_id: str) -> None:
        """Remove a check."""
        ...

    def update_ttl_check(self, check_id: str, status: CheckStatus, output: str) -> None:
        """Set the state of a TTL check and restart its time. RequestError for a check of another kind."""
        ...

    def enable_node_maintenance(self, reason: str, *, token: str = "") -> None:
        """Take the node out of service by a critical check; where it is so already, the reason stays."""
        ...

    def enable_service_maintenance(self, service_id: str, reason: str, *, token: str = "") -> None:
        """Take a service out of service, likewise."""
        ...

    def disable_node_maintenance(self) -> None:
        """Put the node back into service; no error where it is."""
        ...

    def disable_service_maintenance(self, service_id: str) -> None:
        """Put a service back into service, likewise."""
        ...

    async def wait_for_change(self, service_id: str, timeout_s: float) -> bool:
        """Wait until a service may have changed, or is gone; False when the time is over first."""
        ...

    async def synced(self) -> None:
        """Wait, for a moment at most, until the catalog has heard of the changes made so far."""
        ...


class ArchiveStream(Protocol):
    """The bytes of an archive, or of the log, as they come: to be read once, and closed in every case."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes:
        """The next bytes. Raises ConsulKernelError where the archive breaks off."""
        ...

    async def aclose(self) -> None:
        """Let go of it. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """An archive of the whole state, and what the server that made it says of it."""

    response: SnapshotResponse
    archive: ArchiveStream


class AgentApi(Protocol):
    """What an interface may ask of the agent that it serves."""

    @property
    def node_name(self) -> str: ...

    @property
    def node_id(self) -> str: ...

    @property
    def datacenter(self) -> str: ...

    @property
    def is_server(self) -> bool: ...

    @property
    def local(self) -> LocalRegistry:
        """What is registered with this agent."""
        ...

    async def call(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """Carry out a call here or wherever it belongs (the leader, another server, another datacenter).

        The reply may be shared with other callers: neither they nor the agent ever change it.

        Raises RpcError with the endpoint's text, or one of its kin that Consul's wire knows by text alone.
        """
        ...

    def read_at_once(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT | None:
        """The reply to a read that this agent answers from what it has, in no time; None where `call` is to be asked.

        Shared as `call`'s are. Raises what `call` would.
        """
        ...

    async def save_snapshot(self, request: SnapshotRequest) -> SavedSnapshot:
        """An archive of the state, made here or wherever it belongs. RpcError with Consul's text."""
        ...

    async def restore_snapshot(self, request: SnapshotRequest, archive: AsyncIterator[bytes]) -> None:
        """Replace the state of the datacenter by that of an archive. RpcError with Consul's text: nothing was replaced,

        unless it says that the outcome is unknown.
        """
        ...

    def local_member(self) -> Member:
        """This agent in the LAN pool."""
        ...

    def members(self, *, wan: bool = False) -> Sequence[Member]:
        """The pool's members; MembershipError for `wan` on an agent that is in no WAN pool."""
        ...

    async def join(self, addresses: Sequence[str], *, wan: bool = False) -> int:
        """Join by `host`, `host:port`; how many answered. MembershipError when none did."""
        ...

    async def force_leave(self, node: str, *, prune: bool = False) -> None:
        """Have a failed member counted as left. MembershipError when it is unknown."""
        ...

    async def leave(self) -> None:
        """Leave the pool on purpose and shut the agent down."""
        ...

    def monitor(self, level: str, *, as_json: bool) -> ArchiveStream:
        """The log from now on, from a level up; lines that are not read in time are dropped, and their number told.

        Raises RequestError for a level that is none, AgentError when too many listen.
        """
        ...

    async def describe_host(self) -> Mapping[str, Any]:
        """The document of `/v1/agent/host` as JSON values: Memory, CPU, Host, Disk, CollectionTime, Errors."""
        ...

    async def reload(self) -> None:
        """Read the agent file again, and take up what can be taken up while the agent runs.

        AgentError with everything that is wrong with it, by file, line and key: then nothing has changed.
        """
        ...

    def metrics(self) -> MetricsSummary:
        """What was counted and measured in the newest ten seconds that are over."""
        ...

    def prometheus(self) -> str | None:
        """All metrics in Prometheus's text format; None where the agent file does not ask for that."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """The document of `/v1/agent/self` as JSON values: Config, DebugConfig, Coord, Member, Stats, Meta."""
        ...


@runtime_checkable
class Interface(Protocol):
    """One listening interface."""

    async def start(self) -> None:
        """Bind and serve. Raises PluginStartError, naming the address, when it cannot be bound."""
        ...

    def addresses(self) -> Sequence[str]:
        """Where it serves, for the log: `127.0.0.1:8500 (tcp)`."""
        ...

    async def aclose(self) -> None:
        """Stop accepting, give requests in flight a moment, and close. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSettings:
    """What of an interface's context may change while it serves."""

    dns: DnsSettings
    http: HttpSettings
    limits: LimitSettings
    dns_answers: DnsAnswers = DEFAULT_ANSWERS


@runtime_checkable
class ReloadableInterface(Protocol):
    """Optional: an interface that takes up an agent file that was changed. Without it, that waits for a restart."""

    def reload(self, settings: InterfaceSettings, config: Any) -> Sequence[str]:
        """Serve by these from the next request on; `config` is its block, decoded as at the start.

        Returns the keys of its block that have changed and that it takes up only when it is started anew. Called in the
        agent's event loop; it neither waits nor raises.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceContext:
    """What an interface is made with.

    `bind` are the addresses of the agent file's `client_addr`, `addresses` and `ports` for an interface of
    this name (empty: the file disables it by port -1, or names none; a plugin's own block may then say where).
    """

    agent: AgentApi
    bind: Sequence[Address]
    dns: DnsSettings
    http: HttpSettings
    limits: LimitSettings
    metrics: Metrics = NO_METRICS
    """What the interface counts with."""
    dns_answers: DnsAnswers = DEFAULT_ANSWERS
    """Who has a say in answers of DNS."""


InterfacePlugin = Plugin[InterfaceContext, Interface]
