"""`Operator.Autopilot*` and `Operator.ServerHealth`: how the leader looks after the servers."""

from __future__ import annotations

from consul_kernel.contracts.errors import RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.server.autopilot.judging import Judgement
from consul_kernel.server.autopilot.view import autopilot_state, cluster_health
from consul_kernel.state.autopilot import autopilot_config
from consul_kernel.state.commands import CommandType
from consul_kernel.structs.autopilot import (
    AutopilotConfig,
    AutopilotSetConfigRequest,
    AutopilotState,
    ClusterHealth,
)
from consul_kernel.structs.methods import (
    OPERATOR_AUTOPILOT_GET_CONFIGURATION,
    OPERATOR_AUTOPILOT_SET_CONFIGURATION,
    OPERATOR_AUTOPILOT_STATE,
    OPERATOR_SERVER_HEALTH,
)
from consul_kernel.structs.query import DCSpecificRequest

from .context import EndpointContext


class AutopilotEndpoint:
    """The configuration is part of the state; what is seen of the servers, the leader alone knows."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(OPERATOR_AUTOPILOT_GET_CONFIGURATION, self.get_configuration)
        table.attach(OPERATOR_AUTOPILOT_SET_CONFIGURATION, self.set_configuration)
        table.attach(OPERATOR_AUTOPILOT_STATE, self.state)
        table.attach(OPERATOR_SERVER_HEALTH, self.server_health)

    async def get_configuration(self, _: DCSpecificRequest) -> AutopilotConfig:
        """The configuration. RpcError until a leader has stored the first one."""
        config = autopilot_config(self._context.state.reader)
        if config is None:
            raise RpcError("autopilot config not initialized yet")
        return config

    async def set_configuration(self, request: AutopilotSetConfigRequest) -> bool:
        """Replace the configuration; whether that was done."""
        config = request.config
        if min(config.max_trailing_logs, config.min_quorum, config.last_contact_threshold) < 0:
            raise RpcError("autopilot config: numbers and durations cannot be negative")
        return await self._context.propose(CommandType.AUTOPILOT, request) is True

    async def state(self, _: DCSpecificRequest) -> AutopilotState:
        """Every server, and how many may fail."""
        return autopilot_state(self._judgement())

    async def server_health(self, _: DCSpecificRequest) -> ClusterHealth:
        """The same in the older form."""
        return cluster_health(self._judgement())

    def _judgement(self) -> Judgement:
        judgement = self._context.judgement()
        if judgement is None:
            raise RpcError("autopilot has not looked at the servers yet")
        return judgement
