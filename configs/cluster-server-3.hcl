# Server 3 of three on 127.0.0.1 to 127.0.0.3; cluster-client.hcl joins them from 127.0.0.4.
datacenter       = "dc1"
node_name        = "server-3"
server           = true
bootstrap_expect = 3
data_dir         = "data/cluster-server-3"
bind_addr        = "127.0.0.3"
client_addr      = "127.0.0.3"
retry_join       = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
retry_interval   = "1s"

# Seals the gossip. An example for this machine: make a key of your own with `consul-kernel keygen`.
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="

performance {
  raft_multiplier = 1
}
