"""Autopilot: the leader watches the servers, gives votes to those that are stable, and removes those that are dead.

The rules are Consul's (documentation of autopilot; raft-autopilot 0.1.5). What judges is pure; `keeper` is the loop.
"""

from .keeper import Autopilot
from .view import cluster_health

__all__ = ["Autopilot", "cluster_health"]
