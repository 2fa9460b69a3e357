"""DNS answers by zone: those near the agent, or near whoever asks, stand first."""
