"""Carrying out prepared queries: which one is meant, what a template makes of a name, and who answers.

(Consul: `agent/consul/prepared_query_endpoint.go`, `agent/consul/prepared_query`.)
"""
