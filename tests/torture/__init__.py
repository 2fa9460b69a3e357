"""Torture: real servers in network namespaces, everything that can break broken, and what clients saw checked."""
