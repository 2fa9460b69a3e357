"""Whole pools of gossip cores in virtual time: faults from a seed, invariants, and how news spreads."""
