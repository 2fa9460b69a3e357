"""Real agents as processes, for tests that look at a cluster from outside."""
