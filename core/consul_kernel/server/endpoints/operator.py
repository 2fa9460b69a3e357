"""`Operator.*`: the quorum as operators see it, and what they change in it."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, NotLeaderError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.structs.methods import (
    OPERATOR_RAFT_GET_CONFIGURATION,
    OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS,
    OPERATOR_RAFT_REMOVE_PEER_BY_ID,
    OPERATOR_TRANSFER_LEADER,
)
from consul_kernel.structs.operator import (
    RaftConfiguration,
    RaftRemovePeerRequest,
    RaftServer,
    TransferLeaderRequest,
    TransferLeaderResponse,
)
from consul_kernel.structs.query import DCSpecificRequest
from consul_kernel.structs.record import Empty

from .context import EndpointContext

UNKNOWN_NODE = "(unknown)"
UNKNOWN_VERSION = "unknown"


class Operator:
    """Changes are the leader's to make; each returns once the quorum has agreed on it."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(OPERATOR_RAFT_GET_CONFIGURATION, self.raft_get_configuration)
        table.attach(OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS, self.raft_remove_peer_by_address)
        table.attach(OPERATOR_RAFT_REMOVE_PEER_BY_ID, self.raft_remove_peer_by_id)
        table.attach(OPERATOR_TRANSFER_LEADER, self.transfer_leader)

    async def raft_get_configuration(self, _: DCSpecificRequest) -> RaftConfiguration:
        """The servers of the quorum, in the order in which they joined it."""
        leader, known = self._context.leader_address(), {tags.id: tags for tags in self._context.listed_servers()}

        def describe(server: Server) -> RaftServer:
            tags = known.get(server.id)
            return RaftServer(
                id=server.id,
                node=tags.name if tags is not None else UNKNOWN_NODE,
                address=server.address,
                leader=server.address == leader,
                protocol_version=tags.raft_version if tags is not None else UNKNOWN_VERSION,
                voter=server.suffrage is Suffrage.VOTER,
            )

        return RaftConfiguration(servers=[describe(server) for server in self._context.consensus.configuration.servers])

    async def raft_remove_peer_by_address(self, request: RaftRemovePeerRequest) -> Empty:
        """Take a server out of the quorum; while gossip has it alive it will join again."""
        for server in self._context.consensus.configuration.servers:
            if server.address == request.address:
                return await self._remove(server.id)
        raise RpcError(f'address "{request.address}" was not found in the Raft configuration')

    async def raft_remove_peer_by_id(self, request: RaftRemovePeerRequest) -> Empty:
        """The same, by its id."""
        if self._context.consensus.configuration.get(request.id) is None:
            raise RpcError(f'id "{request.id}" was not found in the Raft configuration')
        return await self._remove(request.id)

    async def _remove(self, server_id: str) -> Empty:
        try:
            await self._context.consensus.remove_server(server_id)
        except NotLeaderError:
            raise
        except ConsensusError as error:
            raise RpcError(f"the server could not be removed: {error}") from error
        return Empty()

    async def transfer_leader(self, request: TransferLeaderRequest) -> TransferLeaderResponse:
        """Hand leadership over, and wait until the other server leads."""
        try:
            await self._context.consensus.transfer_leadership(request.id or None)
        except NotLeaderError:
            raise
        except ConsensusError as error:
            raise RpcError(f"leadership was not transferred: {error}") from error
        return TransferLeaderResponse(success=True)
