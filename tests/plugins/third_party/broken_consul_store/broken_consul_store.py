"""A plugin that fails as real ones do: at import, for a reason of its own."""

raise RuntimeError("broken_consul_store was built for another machine")
