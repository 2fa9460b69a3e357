# A client agent of dc1, on 127.0.0.12. It knows nothing of dc2; its server does.
datacenter     = "dc1"
node_name      = "east-client"
data_dir       = "data/dc1-client"
bind_addr      = "127.0.0.12"
client_addr    = "127.0.0.12"
retry_join     = ["127.0.0.11"]
retry_interval = "1s"

# Seals the gossip. An example for this machine: make a key of your own with `consul-kernel keygen`.
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
