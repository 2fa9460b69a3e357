"""Autopilot's configuration: one row."""

from __future__ import annotations

from consul_kernel.structs.autopilot import AutopilotConfig, AutopilotSetConfigRequest

from .tables import Reader, Table, Writer
from .transaction import Transaction

autopilot: Table[AutopilotConfig] = Table("autopilot", AutopilotConfig)

_CONFIG = b"config"


def autopilot_config(reader: Reader) -> AutopilotConfig | None:
    """The configuration, None where nobody has set one."""
    return autopilot.get(reader, _CONFIG)


def put_autopilot_config(writer: Writer, config: AutopilotConfig) -> None:
    """Set the configuration."""
    autopilot.put(writer, _CONFIG, config)


def apply_autopilot_config(transaction: Transaction, request: AutopilotSetConfigRequest) -> bool:
    """Set it as asked; whether that was done, which a check-and-set refuses where it was changed meanwhile.

    One with the index 0 sets it only where there is none.
    """
    known, config = autopilot_config(transaction), request.config
    if request.cas and config.modify_index != (known.modify_index if known is not None else 0):
        return False
    config.create_index = known.create_index if known is not None else transaction.index
    config.modify_index = transaction.index
    put_autopilot_config(transaction, config)
    return True
