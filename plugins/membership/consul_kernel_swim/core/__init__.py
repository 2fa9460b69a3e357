"""The protocol core: SWIM with Lifeguard as memberlist speaks it, and Serf's layer above.

Nothing below this package reads a clock, opens a socket, waits, or draws from global randomness: time comes in
with every `step`, randomness is one injected `random.Random`, and all that happens is in the returned effects.
"""
