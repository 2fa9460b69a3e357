"""The services and checks of this agent, made from the agent file, and what keeps the catalog in step with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from consul_kernel.config.model import AgentConfig
from consul_kernel.plugins import PluginManager
from consul_kernel.structs import methods
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.methods import Call
from consul_kernel.structs.node import Node
from consul_kernel.structs.query import NodeSpecificRequest

from .anti_entropy import AntiEntropy
from .checks.factory import RunnerFactory
from .checks.plugins import CheckKinds
from .configured import Configured
from .local import LocalState
from .registrations import Registrations


class Registry:
    """What is registered here (`local`), and the task that tells the catalog (`anti_entropy`)."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        node_id: str,
        call: Call,
        member_count: Callable[[], int],
        rng: random.Random,
        plugins: PluginManager,
    ) -> None:
        """Nothing runs yet. `call` reaches the servers; `member_count` is that of the LAN pool."""
        kinds = CheckKinds(plugins)
        self._config = config
        self._node_id = node_id
        self._call = call
        self.local = LocalState(
            node_name=config.node_name,
            make_runner=RunnerFactory(
                kinds,
                node_name=config.node_name,
                datacenter=config.datacenter,
                output_limit_bytes=config.check_output_max_size,
                rng=rng,
                local_checks=lambda: self.local.checks().values(),
                node_checks=self._node_checks,
            ),
            on_change=lambda: self.anti_entropy.changed(),
            pushed=lambda: self.anti_entropy.pushed(),
            remote_scripts=config.enable_script_checks,
            check_update_interval_s=config.check_update_interval_ms / 1000,
            output_limit_bytes=config.check_output_max_size,
            discard_output=config.discard_check_output,
            kept=Registrations(config.data_dir),
            claim_keys=kinds.claim,
        )
        self._configured = Configured(self.local)
        self.anti_entropy = AntiEntropy(
            local=self.local,
            node=_node(config, node_id),
            is_server=config.server,
            call=call,
            member_count=member_count,
            rng=rng,
        )

    def register_configured(self) -> None:
        """The services and checks of the agent file, then those that were registered in an earlier life."""
        self._configured.follow(self._config.services, self._config.checks)
        self.local.restore()

    def validate(self, config: AgentConfig) -> None:
        """Raises RequestError where `reload` would refuse a service or check."""
        self._configured.validate(config.services, config.checks)

    def reload(self, config: AgentConfig) -> None:
        """Follow an agent file that has changed: services, checks, the node's metadata, whether output is kept."""
        self._configured.follow(config.services, config.checks)
        self.local.discard_output(config.discard_check_output)
        self.anti_entropy.node_changed(_node(config, self._node_id))

    async def _node_checks(self, node: str) -> Sequence[HealthCheck]:
        reply = await self._call(methods.HEALTH_NODE_CHECKS, NodeSpecificRequest(node=node))
        return reply.health_checks or []


def _node(config: AgentConfig, node_id: str) -> Node:
    """This agent as the catalog is to have it."""
    return Node(
        id=node_id,
        node=config.node_name,
        address=config.advertise_addr,
        datacenter=config.datacenter,
        tagged_addresses=dict(config.tagged_addresses),
        meta={"consul-network-segment": "", **config.node_meta},
    )
