"""The kinds of configuration entries: which fields each has, how it is read from what users write, and how it is shown.

(Consul 1.10: `agent/structs/config_entry*.go`.)
"""

from .decoding import decode_entry, read_settings
from .kinds import KINDS, require_kind
from .showing import show_entry

__all__ = ["KINDS", "decode_entry", "read_settings", "require_kind", "show_entry"]
