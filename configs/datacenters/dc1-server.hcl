# The one server of dc1, on 127.0.0.11. Start dc2-server.hcl beside it: either finds the other.
datacenter         = "dc1"
node_name          = "east-1"
server             = true
bootstrap          = true
data_dir           = "data/dc1-server"
bind_addr          = "127.0.0.11"
client_addr        = "127.0.0.11"
retry_join_wan     = ["127.0.0.21"]
retry_interval_wan = "1s"

# Seals the gossip of both pools. An example for this machine: make a key of your own with `consul-kernel keygen`.
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="

performance {
  raft_multiplier = 1
}
