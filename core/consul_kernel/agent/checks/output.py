"""How much of a check's output is kept."""

from __future__ import annotations

from consul_kernel.structs.check import CheckDefinition


def output_limit_bytes(definition: CheckDefinition | None, agent_limit_bytes: int) -> int:
    """The agent's limit, or the definition's where that is less, as in Consul."""
    own = definition.output_max_size if definition is not None else 0
    return min(own, agent_limit_bytes) if own > 0 else agent_limit_bytes


def truncated(output: str, limit_bytes: int) -> str:
    """Output cut to its first `limit_bytes`, with Consul's note of how much there was."""
    encoded = output.encode("utf-8", "replace")
    if len(encoded) <= limit_bytes:
        return output
    head = encoded[:limit_bytes].decode("utf-8", "ignore")
    return f"{head} ... (captured {limit_bytes} of {len(encoded)} bytes)"
