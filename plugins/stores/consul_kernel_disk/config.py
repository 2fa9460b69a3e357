"""What `store "disk" { … }` may say."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from consul_kernel.contracts.plugin import PluginConfig

MIB = 1 << 20


class DiskConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sizes are in bytes. One agent at a time may use a folder."""

    path: str = ""
    """Folder of log, state and snapshots, in place of the agent file's `data_dir`."""
    segment_bytes: Annotated[int, Meta(ge=4096, le=1 << 30)] = 8 * MIB
    """Size to which a file of the log is preallocated; a batch that is larger gets a file of its own."""
    log_cache_bytes: Annotated[int, Meta(ge=0)] = 8 * MIB
    """Recent entries kept in memory, so that followers and the state machine are fed without reading files."""
    snapshots_retained: Annotated[int, Meta(ge=1, le=100)] = 2
    """Snapshots that are kept; older ones are removed once a newer one is durable."""
    map_bytes: Annotated[int, Meta(ge=1 * MIB)] = 1 << 36
    """Address space for the state at first: no memory and no disk, it grows when the state nears it."""
