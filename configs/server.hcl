# One server on this machine: keys, catalog, HTTP on 8500 and DNS on 8600, kept in ./data/server.
datacenter = "dc1"
node_name  = "server"
server     = true
bootstrap  = true
data_dir   = "data/server"
bind_addr  = "127.0.0.1"

performance {
  raft_multiplier = 1
}
