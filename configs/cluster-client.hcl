# A client agent on 127.0.0.4: nearly stateless, it forwards every request to a server.
datacenter     = "dc1"
node_name      = "client-1"
data_dir       = "data/cluster-client"
bind_addr      = "127.0.0.4"
client_addr    = "127.0.0.4"
retry_join     = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
retry_interval = "1s"

# Seals the gossip. An example for this machine: make a key of your own with `consul-kernel keygen`.
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
