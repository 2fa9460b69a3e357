"""Consul's snapshot archives: written, read and verified, saved from the state and restored into it."""
