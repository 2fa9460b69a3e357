"""What the agent counts and measures, kept for a minute and shown to whoever asks (Consul: docs/agent/telemetry).

Parts count by `contracts.metrics`. The registry has what they count with, the keeper closes an interval every ten
seconds, and what is over is shown as JSON, as Prometheus reads it, or sent to statsd.
"""
