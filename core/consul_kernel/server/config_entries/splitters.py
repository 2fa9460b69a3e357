"""What a service splitter may say."""

from __future__ import annotations

from consul_kernel.structs.go_quote import quote

from .normalising import scaled_weight
from .values import Settings, number, records, text

_WHOLE = 10_000


def splitter_fault(name: str, settings: Settings) -> str:
    """What is wrong, or an empty string."""
    splits = records(settings, "Splits")
    if not splits:
        return "no splits configured"
    seen = set()
    for split in splits:
        target = (text(split, "Service") or name, text(split, "ServiceSubset"), text(split, "Namespace"))
        if target in seen:
            shown = "service={}, subset={}, namespace={}".format(*map(quote, target))
            return f"split destination occurs more than once: {shown}"
        seen.add(target)
    total = sum(scaled_weight(number(split, "Weight")) for split in splits)
    return "" if total == _WHOLE else f"the sum of all split weights must be 100, not {total / 100:f}"
