# One server whose gossip is sealed as Serf and Consul do it. With it running, a Serf agent can join:
#   serf agent -bind 127.0.0.2 -encrypt pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s= -join 127.0.0.1:8301
datacenter = "dc1"
node_name  = "server"
server     = true
bootstrap  = true
data_dir   = "data/aes-gcm"
bind_addr  = "127.0.0.1"

cipher "aes-gcm" {
  # An example for this machine: make a key of your own with `consul-kernel keygen`.
  key = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
}
