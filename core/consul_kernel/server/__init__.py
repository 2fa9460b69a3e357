"""What only a server does: consensus, state, endpoints, and the duties of the leader."""
