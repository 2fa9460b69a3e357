"""Autopilot for a server, from the parts that it has."""

from __future__ import annotations

from consul_kernel.contracts.membership import Membership
from consul_kernel.server.endpoints.context import EndpointContext
from consul_kernel.state.autopilot import autopilot_config
from consul_kernel.state.commands import CommandType
from consul_kernel.structs.autopilot import AutopilotConfig, AutopilotSetConfigRequest
from consul_kernel.structs.settings import AutopilotSettings

from .keeper import Autopilot
from .looking import AskStats, Lookout

_NS_PER_MS = 1_000_000


def make_autopilot(
    settings: AutopilotSettings, context: EndpointContext, membership: Membership, ask_stats: AskStats, node_id: str
) -> Autopilot:
    """The first leader stores the agent file's configuration, once every server can read it."""
    first = AutopilotConfig(
        cleanup_dead_servers=settings.cleanup_dead_servers,
        last_contact_threshold=settings.last_contact_threshold_ms * _NS_PER_MS,
        max_trailing_logs=settings.max_trailing_logs,
        min_quorum=settings.min_quorum,
        server_stabilization_time=settings.server_stabilization_time_ms * _NS_PER_MS,
        redundancy_zone_tag=settings.redundancy_zone_tag,
        disable_upgrade_migration=settings.disable_upgrade_migration,
        upgrade_version_tag=settings.upgrade_version_tag,
    )

    async def prepare() -> None:
        if autopilot_config(context.state.reader) is None and not context.too_old_for(CommandType.AUTOPILOT):
            await context.propose(CommandType.AUTOPILOT, AutopilotSetConfigRequest(config=first, cas=True))

    return Autopilot(
        consensus=context.consensus,
        lookout=Lookout(
            consensus=context.consensus,
            members=membership.members,
            ask_stats=ask_stats,
            node_id=node_id,
            datacenter=context.datacenter,
        ),
        config=lambda: autopilot_config(context.state.reader) or first,
        prepare=prepare,
        force_leave=membership.force_leave,
        node_id=node_id,
        now_ms=context.now_ms,
    )
