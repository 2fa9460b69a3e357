"""What `consensus "solo" { … }` may say."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from consul_kernel.contracts.plugin import PluginConfig


class SoloConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server by itself. Its log is Raft's, so that `raft` may take it over, and hand a quorum of one back."""

    proposals_max: Annotated[int, Meta(ge=1)] = 8192
    """Commands that wait to be applied at once; more are refused."""
