# A client agent of dc2, on 127.0.0.22, with a service that dc1 can ask for: web.service.dc2.consul.
datacenter     = "dc2"
node_name      = "west-client"
data_dir       = "data/dc2-client"
bind_addr      = "127.0.0.22"
client_addr    = "127.0.0.22"
retry_join     = ["127.0.0.21"]
retry_interval = "1s"

# Seals the gossip. An example for this machine: make a key of your own with `consul-kernel keygen`.
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="

service {
  name = "web"
  port = 8080
}
