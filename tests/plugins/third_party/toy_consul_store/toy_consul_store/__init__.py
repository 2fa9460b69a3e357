"""A third party's store, on SQLite from the standard library: small, slow, and correct."""

from __future__ import annotations

from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.store import DURABLE, Store, StoreContext, StorePlugin
from consul_kernel.hookspecs import hookimpl


class ToyConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `store "toy" { … }`."""

    folder: str = "toy"
    """Below data_dir."""


def create(context: StoreContext, config: ToyConfig) -> Store:
    """Make the store."""
    from .store import ToyStore

    return ToyStore(None if context.data_dir is None else context.data_dir / config.folder)


@hookimpl
def consul_kernel_register_store() -> StorePlugin:
    """Describe the plugin."""
    return StorePlugin(
        name="toy",
        api=1,
        create=create,
        config_type=ToyConfig,
        capabilities=frozenset({DURABLE}),
        summary="everything in SQLite",
    )
