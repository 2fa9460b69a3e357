"""What configuration entries may say, by themselves and together.

(Consul 1.10: `agent/structs/config_entry*.go`, `agent/consul/state/config_entry.go`, `agent/consul/discoverychain`.)
"""

from .graph import check_together
from .normalising import normalise
from .validating import validate

__all__ = ["check_together", "normalise", "validate"]
