# A client of the cluster with swapped parts.
datacenter     = "dc1"
node_name      = "client-1"
data_dir       = "data/swapped-client"
bind_addr      = "127.0.0.4"
client_addr    = "127.0.0.4"
retry_join     = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
retry_interval = "1s"

membership "swim" {
  profile = "local"
}
