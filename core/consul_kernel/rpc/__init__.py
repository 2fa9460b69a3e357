"""Calls between agents: Consul's RPC on the server port (net/rpc over MessagePack, multiplexed by yamux).

From the wire upwards: `wire` turns records into bytes, `yamux` shares one connection among many streams,
`client` makes calls, `server` answers them, `endpoints` holds what is answered here, `directory` knows the
servers, and `router` decides who answers.
"""
