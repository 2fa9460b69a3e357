# The one server of dc2, on 127.0.0.21. Start dc1-server.hcl beside it: either finds the other.
datacenter         = "dc2"
node_name          = "west-1"
server             = true
bootstrap          = true
data_dir           = "data/dc2-server"
bind_addr          = "127.0.0.21"
client_addr        = "127.0.0.21"
retry_join_wan     = ["127.0.0.11"]
retry_interval_wan = "1s"

# Seals the gossip of both pools. An example for this machine: make a key of your own with `consul-kernel keygen`.
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="

performance {
  raft_multiplier = 1
}
