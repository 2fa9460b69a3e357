"""Answers of 500 and above that Consul gives itself: their texts, and where each was seen.

A text is a regular expression for the whole of the body. `recorded` stands for a text that a Consul 1.10.11 was seen to
give; others name the file of its source that holds them.
"""

from __future__ import annotations

import re

_NUMBER_ERROR = r'strconv\.(Atoi|Parse(Ui|I)nt|ParseBool): parsing ".*": (invalid syntax|value out of range)'
_UUID_ERROR = r"index error: (UUID must be 36 characters|Invalid UUID: .*)"
_REGEXP_ERROR = r"error parsing regexp: .*"
_BEXPR_ERROR = (
    r"(\d+:\d+ \(\d+\): .*|Selector \".*\" is not valid|Invalid match operator .*|Failed to co(erce|mpile) .*)"
)

FAILURES: tuple[tuple[int, str, str], ...] = (
    (500, r"", "recorded: a query string that cannot be parsed"),
    (500, r"No path to datacenter", "recorded: catalog/service, catalog/deregister-bad"),
    (
        500,
        rf"(Failed to create boolean expression evaluator: )?{_BEXPR_ERROR}",
        "recorded: health/service-filter, agent/filters-checks",
    ),
    (
        500,
        rf"(Bad limit: |Error parsing 'connect' value: )?{_NUMBER_ERROR}",
        "recorded: kv/cas-bad, kv/flags-bad, config/cas, query/execute",
    ),
    (
        500,
        rf"(raft apply failed: |apply failed: )?failed session lookup: {_UUID_ERROR}",
        "recorded: session/info-unknown, session/renew, kv/acquire-bad",
    ),
    (
        500,
        rf"(Prepared Query lookup failed: )?failed prepared query lookup: {_UUID_ERROR}",
        "recorded: query/unknown, query/unnamed",
    ),
    (500, r"Cannot modify non-existent prepared query: '.*'", "recorded: query/unknown"),
    (500, r"ID must be empty when creating a new prepared query", "recorded: query/unnamed"),
    (500, r"Invalid prepared query: Must be bound to a session", "recorded: query/unnamed"),
    (500, r"prepared query templates can only be resolved up by name, not by ID", "recorded: query/template"),
    (
        500,
        r"raft apply failed: (name '.*' aliases an existing query name|a query template with an empty name .*)",
        "recorded: query/unnamed",
    ),
    (
        500,
        (
            r"raft apply failed: failed compiling template: "
            rf"Bad (Regexp: {_REGEXP_ERROR}|Template\.Type .*|(format|evaluation) .*)"
        ),
        "recorded: query/template-bad",
    ),
    (500, r"raft apply failed: (missing session|invalid session \".*\")", "recorded: kv/acquire-bad"),
    (
        500,
        r"apply failed: (Missing node registration|Missing check '.*' registration|Check '.*' is in critical state)",
        "recorded: session/create-bad, session/invalidated-by-check",
    ),
    (500, r"Invalid Behavior setting '.*'", "recorded: session/create-bad"),
    (
        500,
        r"(Invalid Session TTL '.*', must be between \[.*\]|Session TTL '.*' invalid: time: .*)",
        "recorded: session/ttl-bounds",
    ),
    (500, r'check node ".*" does not match node ".*"', "source: agent/consul/state/catalog.go, ensureRegistration"),
    (
        500,
        r"Wildcard service name is only valid for protocol = 'http' .*",
        "source: agent/structs/config_entry_gateways.go",
    ),
    (500, r"Route\[\d+\] .*|Service name cannot be blank .*", "source: agent/structs/config_entry_*.go"),
    (500, r"1 error occurred:\n\t\* Meta .*", "source: agent/structs/config_entry.go, validateConfigEntryMeta"),
    (500, r"Must provide address if SkipNodeUpdate is not set", "source: agent/consul/catalog_endpoint.go"),
    (500, r"Must provide node", "recorded: catalog/deregister-bad"),
    (500, r"CheckID missing(\. .*)?", "recorded: agent/check-pass-errors"),
    (500, r"ServiceID missing", "source: agent/agent.go, removeServiceLocked"),
    (500, r'CheckID ".*" does not have associated TTL', "recorded: agent/check-update"),
    (500, r'ServiceID ".*" does not exist', "recorded: agent/check-service"),
    (500, r"Bad request: Missing service ?(ID|Name)", "recorded: agent/health-by-id"),
    (500, r"Scripts are disabled on this agent.*", "recorded: agent/check-bad"),
    (500, r"(WAN|LAN)?.*agent: No node found with name '.*'", "recorded: agent/join-leave-arguments"),
    (500, r"\d+ errors? occurred:\n\t\* Failed to (join|resolve) .*", "recorded: agent/join-leave-arguments"),
    (500, r"Network segments are not supported in this version of Consul", "recorded: agent/members"),
    (500, r"\d+ errors? occurred:\n\t\* (WAN|.* \(LAN\)) error: .*", "recorded: operator/keyring"),
    (500, r"keyring operations must run against a server node", "source: agent/agent.go, keyringProcess"),
    (
        500,
        r'(id|address) ".*" was not found in the Raft configuration',
        "source: agent/consul/operator_raft_endpoint.go",
    ),
    (500, r"leadership was not transferred: .*", "source: as of 1.15, where raft's own error is told"),
    (500, r"Connect must be enabled in order to use this endpoint", "source: agent/consul/connect_ca_endpoint.go"),
    (500, r"invalid config entry kind: .*", "recorded: config/bad"),
    (500, r"Name is required", "recorded: config/bad"),
    (500, r"failed to decompress snapshot: .*", "source: snapshot/snapshot.go, Read"),
    (500, r"user event exceeds (configured|sane) limit of \d+ bytes.*", "source: serf/serf/serf.go, UserEvent"),
    (500, rf"Invalid (node|service|tag) filter: {_REGEXP_ERROR}", "recorded: event/fire-filters"),
    (500, r"Cannot provide tag filter without service filter", "recorded: event/fire-filters"),
    (500, r"incompatible coordinate", "recorded: coordinate/update-bad"),
    (
        500,
        r"(stale not allowed for|Invalid snapshot|failed to decode snapshot).*",
        "source: agent/consul/snapshot_endpoint.go",
    ),
    (500, r"No service declared for listener with port \d+", "source: agent/structs/config_entry_gateways.go"),
    (
        500,
        r"Invalid prepared query: (Bad DNS TTL '.*': time: .*|DNS TTL '.*', must be >=0)",
        "source: agent/consul/prepared_query_endpoint.go, parseDNS",
    ),
    (
        503,
        r'[\[{].*"AggregatedStatus": ?"(critical|maintenance)".*|critical|maintenance',
        "recorded: agent/health-by-id",
    ),
    (
        500,
        r"(Failed to create boolean expression evaluator: )?filter expressions have at most \d+ characters",
        "a bound of ours, as every filter that is refused",
    ),
    (500, r"Must be a server to join WAN cluster", "source: agent/agent.go, JoinWAN"),
    (500, r"no splits configured|the sum of all split weights must be 100, not .*", "recorded: config/resolver"),
    (500, r"Sources\[\d+\].*", "source: agent/structs/config_entry_intentions.go"),
    (500, r"failed to read snapshot file: failed reading snapshot: .*", "source: snapshot/snapshot.go, Read"),
    (
        500,
        r"Invalid prepared query: Must provide a Service name to query",
        "source: agent/consul/prepared_query_endpoint.go",
    ),
    (
        500,
        r"At least one source is required|Must provide Node|autopilot has not looked at the servers yet",
        "source: agent/structs, agent/consul",
    ),
    (500, r"invalid coordinate", "source: agent/consul/coordinate_endpoint.go"),
    (
        500,
        r"port \d+ declared on two listeners|Service name cannot be blank\.",
        "source: agent/structs/config_entry_gateways.go",
    ),
    (
        500,
        r"Service .* (cannot be added multiple times|was specified more than once within a namespace).*",
        "source: as before",
    ),
    (
        500,
        r"Bad (ConnectTimeout|Failover|Redirect|Subsets?).*|Filter for subset .*",
        "source: agent/structs/config_entry_discoverychain.go",
    ),
    (500, r'(Subset|DefaultSubset) ".*', "recorded: config/resolver"),
    (500, r"split destination occurs more than once: .*", "source: agent/structs/config_entry_discoverychain.go"),
    (
        500,
        r'cannot create a ".*" config entry with name ".*", a ".*" config entry with that name already exists',
        "source: agent/consul/state/config_entry.go",
    ),
    (
        500,
        r'service ".*" has protocol ".*", which does not match defined listener protocol ".*"',
        "source: agent/consul/state/config_entry.go",
    ),
    (500, r'discovery chain ".*" uses .*', "recorded: config/resolver"),
)
"""Status, text, and how it is known."""

_COMPILED = tuple((status, re.compile(text, re.DOTALL)) for status, text, _ in FAILURES)


def is_consuls(status: int, text: str) -> bool:
    """Whether Consul would answer so."""
    return any(status == known and expected.fullmatch(text) for known, expected in _COMPILED)
