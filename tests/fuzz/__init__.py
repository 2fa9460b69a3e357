"""Fuzzing behind commands of its own; the suite runs a slice."""
