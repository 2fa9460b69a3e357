"""Operations on gossip keys, in every pool of every datacenter (Consul: agent/consul/internal_endpoint.go).

Each server of a datacenter is in both of its pools, so whichever is asked can do it; the leader has no part in it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from consul_kernel.contracts.errors import MembershipError, RequestError, RpcError
from consul_kernel.contracts.membership import Membership
from consul_kernel.contracts.membership_capabilities import KeyOperation, KeyringMembership
from consul_kernel.structs.go_base64 import decode_base64
from consul_kernel.structs.keyring import KeyringRequest, KeyringResponse, KeyringResponses
from consul_kernel.structs.methods import INTERNAL_KEYRING_OPERATION, Call

LOCAL_ONLY_LISTS = "argument error: LocalOnly can only be used for List operations"
MAX_RELAY_FACTOR = 5
CANNOT_CHANGE_KEYS = "this pool's membership cannot change keys while it runs"


Pool = Membership | KeyringMembership


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringOperations:
    """What a server does about keys: on its own pools, and through one server of every other datacenter.

    `wan` is None for a server that is in no WAN pool. `datacenters` are the known ones, this one among them.
    """

    datacenter: str
    lan: Pool
    wan: Pool | None
    datacenters: Callable[[], Sequence[str]]
    call: Call

    async def operate(self, request: KeyringRequest) -> KeyringResponses:
        """Carry an operation out, and tell of each pool what came of it: a pool that refuses is no error of the call.

        RpcError for a request that makes no sense, and when another datacenter cannot be asked; what was done in the
        others then stays done, and asking again is safe.
        """
        operation = _operation(request.operation)
        if request.local_only and operation is not KeyOperation.LIST:
            raise RpcError(LOCAL_ONLY_LISTS)
        if request.local_only or request.forwarded or self.wan is None:
            return KeyringResponses(responses=[await self._operate_pool(self.lan, operation, request)])
        own = await asyncio.gather(*(self._operate_pool(pool, operation, request) for pool in (self.wan, self.lan)))
        return KeyringResponses(responses=own + await self._operate_elsewhere(request))

    async def _operate_pool(self, pool: Pool, operation: KeyOperation, request: KeyringRequest) -> KeyringResponse:
        response = KeyringResponse(wan=pool is self.wan, datacenter=self.datacenter)
        if not isinstance(pool, KeyringMembership):
            response.error = CANNOT_CHANGE_KEYS
            return response
        try:
            key = b"" if operation is KeyOperation.LIST else decode_base64(request.key)
            relay_factor = max(0, min(request.relay_factor, MAX_RELAY_FACTOR))
            outcome = await pool.operate_keyring(operation, key, relay_factor=relay_factor)
        except (MembershipError, RequestError) as error:
            response.error = str(error)
            return response
        response.messages = dict(outcome.messages)
        response.keys = _counts(outcome.keys)
        response.primary_keys = _counts(outcome.primary_keys)
        response.num_nodes = outcome.members
        response.error = outcome.error
        return response

    async def _operate_elsewhere(self, request: KeyringRequest) -> list[KeyringResponse]:
        """All other datacenters at once; the first error, as in Consul, once all have answered."""
        others = [name for name in self.datacenters() if name != self.datacenter]
        requests = [msgspec.structs.replace(request, datacenter=name, forwarded=True) for name in others]
        replies: list[KeyringResponses | BaseException] = await asyncio.gather(
            *(self.call(INTERNAL_KEYRING_OPERATION, one) for one in requests), return_exceptions=True
        )
        responses: list[KeyringResponse] = []
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
            responses += reply.responses or []
        return responses


def _operation(name: str) -> KeyOperation:
    try:
        return KeyOperation(name)
    except ValueError:
        raise RpcError(f'Invalid keyring operation "{name}"') from None


def _counts(keys: Mapping[bytes, int]) -> dict[str, int]:
    return {base64.b64encode(key).decode(): count for key, count in keys.items()}
