"""The `disk` store: state on LMDB, the log in checksummed segments, snapshots in folders, all under one path."""

from __future__ import annotations

from consul_kernel.contracts.store import DURABLE, Store, StoreContext, StorePlugin
from consul_kernel.hookspecs import hookimpl

from .config import DiskConfig


def create(context: StoreContext, config: DiskConfig) -> Store:
    """Make the store; nothing is opened before `start`."""
    from .store import DiskStore

    return DiskStore(context, config)


@hookimpl
def consul_kernel_register_store() -> StorePlugin:
    """Describe the plugin."""
    return StorePlugin(
        name="disk",
        api=1,
        create=create,
        config_type=DiskConfig,
        capabilities=frozenset({DURABLE}),
        summary="state on LMDB, log in checksummed segments, snapshots in folders, under data_dir",
    )
