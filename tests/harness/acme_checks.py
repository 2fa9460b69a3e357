"""Kinds of check that a third party might offer, without a distribution of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from consul_kernel.contracts.check import REMOTE_CODE, CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import KeyFaultError, PluginConfig
from consul_kernel.structs.check import CheckStatus


class AcmeConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `acme_ping`."""

    acme_ping: str = ""
    acme_level: Annotated[int, Meta(ge=0)] = 0
    acme_mode: Literal["fast", "slow"] = "fast"
    tls_skip_verify: bool = False
    header: dict[str, list[str]] = {}

    def __post_init__(self) -> None:
        if self.acme_ping == "nowhere":
            raise KeyFaultError("acme_ping", "is no place")


class AcmeCheck:
    """Passing, with all that it was told for its output."""

    def __init__(self, context: CheckContext, config: object) -> None:
        self.told = f"{context} {config}"

    async def probe(self) -> Outcome:
        return Outcome(CheckStatus.PASSING, self.told)


class PodConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `pod_id`."""

    pod_id: str = ""
    args: list[str] = []


ACME = CheckPlugin(name="acme_ping", api=1, create=AcmeCheck, config_type=AcmeConfig, type_name="acme")
POD = CheckPlugin(name="pod_id", api=1, create=AcmeCheck, config_type=PodConfig, capabilities=frozenset({REMOTE_CODE}))
