"""Whole quorums of Raft cores in virtual time: every kind of fault from a seed, and what must hold at every step."""
