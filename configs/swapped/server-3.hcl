# Server 3 of three with every part named, and other parts than in the cluster files: state and log in memory
# (a restarted server starts empty), gossip in plaintext.
datacenter       = "dc1"
node_name        = "server-3"
server           = true
bootstrap_expect = 3
data_dir         = "data/swapped-server-3"
bind_addr        = "127.0.0.3"
client_addr      = "127.0.0.3"
retry_join       = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
retry_interval   = "1s"

transport "tcp" {}

membership "swim" {
  profile = "local"
}

consensus "raft" {
  heartbeat_ms = 500
  election_ms  = 500
  lease_ms     = 250
}

store "memory" {}

interface "http" {
  port = 8500
}

interface "dns" {
  port = 8600
}
