"""Autopilot's configuration: one row."""

from __future__ import annotations

from consul_kernel.structs.autopilot import AutopilotConfig

from .tables import Reader, Table, Writer

autopilot: Table[AutopilotConfig] = Table("autopilot", AutopilotConfig)

_CONFIG = b"config"


def autopilot_config(reader: Reader) -> AutopilotConfig | None:
    """The configuration, None where nobody has set one."""
    return autopilot.get(reader, _CONFIG)


def put_autopilot_config(writer: Writer, config: AutopilotConfig) -> None:
    """Set the configuration."""
    autopilot.put(writer, _CONFIG, config)
