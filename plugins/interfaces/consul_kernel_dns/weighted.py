"""`dns_answer "weighted" {}`: instances stand first in answers as often as their weights say.

SRV records carry weights, which clients go by; plain addresses do not, so here the agent does it for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.dns_answer import Candidate, DnsAnswerContext, DnsAnswerPlugin, Lookup, Tier
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl

from .selection import srv_weight


class WeightedAnswer:
    """Weighs each instance by its service's weight for the health that it is in, as an SRV record shows it."""

    def arrange(self, lookup: Lookup, candidates: Sequence[Candidate]) -> Sequence[Tier]:
        """One tier, weighed; prepared queries, whose order is their own, and SRV records, are left as they are."""
        if lookup.query or lookup.record_type == "SRV":
            return [candidates]
        return [[Candidate(one.instance, one.weight * srv_weight(one.instance)) for one in candidates]]


def _create(context: DnsAnswerContext, config: PluginConfig) -> WeightedAnswer:
    return WeightedAnswer()


@hookimpl
def consul_kernel_register_dns_answer() -> DnsAnswerPlugin:
    """The descriptor of `dns_answer "weighted" {}`."""
    return DnsAnswerPlugin(
        name="weighted",
        api=1,
        create=_create,
        summary="addresses of a service stand first as often as the weights of its instances say",
    )
