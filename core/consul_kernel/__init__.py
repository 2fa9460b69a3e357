"""A service-networking kernel in the architecture of HashiCorp Consul, built of plugins."""

__version__ = "0.1.0"
