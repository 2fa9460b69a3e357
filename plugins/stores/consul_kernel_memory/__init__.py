"""The `memory` store: everything in the process's memory, gone with it. For `-dev`, tests and throwaway agents."""

from __future__ import annotations

from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.store import Store, StoreContext, StorePlugin
from consul_kernel.hookspecs import hookimpl


def create(context: StoreContext, config: PluginConfig) -> Store:
    """Make the store; nothing is opened before `start`."""
    from .store import MemoryStore

    return MemoryStore()


@hookimpl
def consul_kernel_register_store() -> StorePlugin:
    """Describe the plugin."""
    return StorePlugin(
        name="memory",
        api=1,
        create=create,
        summary="state, log and snapshots in memory; nothing survives a restart",
    )
