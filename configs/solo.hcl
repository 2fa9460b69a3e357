# One server that will never be more: no elections, the same log on disk. `consensus "raft" {}` takes it over as it is.
datacenter = "dc1"
node_name  = "solo"
server     = true
data_dir   = "data/solo"
bind_addr  = "127.0.0.1"

consensus "solo" {}
