"""Consul's kinds of check, each a plugin in a module of its own, so that one brings in only what it needs."""
