"""`dns_answer "same_zone" {}`: instances in the zone of the agent's own node stand before all others."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.dns_answer import Candidate, DnsAnswerContext, DnsAnswerPlugin, Lookup, Tier
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl


class SameZoneConfig(PluginConfig, frozen=True, kw_only=True):
    """The keys of the block."""

    meta_key: str = "zone"
    """The key of a node's metadata that names its zone."""
    only: bool = False
    """Others are not shown at all, unless there is nobody near."""


class SameZone:
    """Two tiers: near and far."""

    def __init__(self, context: DnsAnswerContext, config: SameZoneConfig) -> None:
        self._key = config.meta_key
        self._only = config.only
        self._zone = context.node_meta.get(config.meta_key)

    def arrange(self, lookup: Lookup, candidates: Sequence[Candidate]) -> Sequence[Tier]:
        """Near ones first."""
        near = [one for one in candidates if self._is_near(one)]
        if self._only and near:
            return [near]
        return [near, [one for one in candidates if not self._is_near(one)]]

    def _is_near(self, candidate: Candidate) -> bool:
        return self._zone is not None and (candidate.instance.node.meta or {}).get(self._key) == self._zone


PLUGIN = DnsAnswerPlugin(
    name="same_zone",
    api=1,
    create=SameZone,
    config_type=SameZoneConfig,
    summary="instances in the agent's own zone stand first",
)


@hookimpl
def consul_kernel_register_dns_answer() -> DnsAnswerPlugin:
    """Offer this part."""
    return PLUGIN
