"""The endpoints of `/v1`, one module per group of Consul's API."""
