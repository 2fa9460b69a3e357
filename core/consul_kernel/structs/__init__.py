"""The API's records: what travels between agents, rests in the store and is shown over HTTP.

Attributes are in Python's style; on every wire a field carries Consul's Go name (`modify_index` is
`ModifyIndex`), the same in JSON and in MessagePack. `None` stands for Go's nil where JSON shows `null`.
Records are never changed once they are shared: make another with `msgspec.structs.replace`.
"""
