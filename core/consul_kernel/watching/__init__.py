"""Watches: a view of the servers' data, asked for again and again, and told only when it has become another."""
