"""`Internal.*`: what agents ask of servers on behalf of their users."""

from __future__ import annotations

from consul_kernel.contracts.errors import MembershipError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.structs.event import EventFireRequest, EventFireResponse
from consul_kernel.structs.methods import INTERNAL_EVENT_FIRE, INTERNAL_KEYRING_OPERATION

from .blocking import describe
from .context import EndpointContext

EVENT_PREFIX = "consul:event:"
"""User events of Consul's API bear this before their name in the gossip; the rest are between agents."""


class Internal:
    """User events and gossip keys, which every server is near enough to."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(INTERNAL_EVENT_FIRE, self.event_fire)
        table.attach(INTERNAL_KEYRING_OPERATION, self._context.operate_keyring)

    async def event_fire(self, request: EventFireRequest) -> EventFireResponse:
        """Spread a user event through this datacenter's LAN pool."""
        try:
            await self._context.fire_event(EVENT_PREFIX + request.name, request.payload or b"")
        except MembershipError as error:
            raise RpcError(str(error)) from error
        return describe(self._context, EventFireResponse())
