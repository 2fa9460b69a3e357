"""Every route of the interface, on one page."""

from __future__ import annotations

from .endpoints import (
    agent,
    agent_checks,
    agent_health,
    agent_maintenance,
    agent_monitor,
    agent_services,
    catalog,
    config,
    coordinate,
    disabled,
    event,
    health,
    internal_ui,
    kv,
    operator,
    operator_autopilot,
    operator_raft,
    profiles,
    query,
    session,
    snapshot,
    status,
    txn,
)
from .endpoints.catalog import tells_meta
from .exchange import Endpoint
from .feed import streams
from .feed_items import AS_A_WHOLE, BY_ITSELF, BY_KEY, KnownBy, by_fields, either
from .routing import Route


def _get(pattern: str, endpoint: Endpoint) -> Route:
    return Route(pattern, {"GET": endpoint})


def _read(pattern: str, endpoint: Endpoint, known_by: KnownBy) -> Route:
    """A read that can wait, and therefore also be a stream."""
    return Route(pattern, {"GET": streams(endpoint, known_by)})


def _read_at_once(pattern: str, endpoint: Endpoint, known_by: KnownBy) -> Route:
    """The same, of what a server has at hand."""
    return Route(pattern, {"GET": streams(endpoint, known_by)}, reads_at_once=True)


_BY_NAME = either(by_fields("Key"), BY_ITSELF)
_BY_CHECK = by_fields("Node", "CheckID")
_BY_INSTANCE = by_fields("Node", "ServiceID")
_BY_HEALTH = by_fields("Node.Node", "Service.ID")
_BY_PLACE = by_fields("Node", "Segment")
_BY_ID = by_fields("ID")


def _put(pattern: str, endpoint: Endpoint) -> Route:
    return Route(pattern, {"PUT": endpoint})


ROUTES = (
    Route("/v1/kv/", {"GET": streams(kv.get, _BY_NAME), "PUT": kv.put, "DELETE": kv.delete}, reads_at_once=True),
    _put("/v1/catalog/register", catalog.register),
    _put("/v1/catalog/deregister", catalog.deregister),
    _get("/v1/catalog/datacenters", catalog.datacenters),
    _read("/v1/catalog/nodes", tells_meta(catalog.nodes), by_fields("Node")),
    _read("/v1/catalog/services", tells_meta(catalog.services), BY_KEY),
    _read("/v1/catalog/service/", tells_meta(catalog.service_nodes), _BY_INSTANCE),
    _read("/v1/catalog/connect/", tells_meta(catalog.connect_nodes), _BY_INSTANCE),
    _read("/v1/catalog/gateway-services/", tells_meta(catalog.gateway_services), AS_A_WHOLE),
    _read("/v1/catalog/node/", tells_meta(catalog.node_services), AS_A_WHOLE),
    _read("/v1/catalog/node-services/", tells_meta(catalog.node_service_list), AS_A_WHOLE),
    _read("/v1/health/node/", tells_meta(health.node_checks), _BY_CHECK),
    _read("/v1/health/checks/", tells_meta(health.service_checks), _BY_CHECK),
    _read("/v1/health/state/", tells_meta(health.state_checks), _BY_CHECK),
    _read_at_once("/v1/health/service/", health.service_nodes, _BY_HEALTH),
    _read("/v1/health/connect/", health.connect_nodes, _BY_HEALTH),
    _read("/v1/health/ingress/", health.ingress_nodes, _BY_HEALTH),
    _put("/v1/session/create", session.create),
    _put("/v1/session/destroy/", session.destroy),
    _put("/v1/session/renew/", session.renew),
    _read("/v1/session/info/", tells_meta(session.info), _BY_ID),
    _read("/v1/session/node/", tells_meta(session.of_node), _BY_ID),
    _read("/v1/session/list", tells_meta(session.list_sessions), _BY_ID),
    _put("/v1/txn", txn.txn),
    _put("/v1/config", config.write),
    Route("/v1/config/", {"GET": streams(config.get, by_fields("Kind", "Name")), "DELETE": config.delete}),
    Route("/v1/query", {"GET": streams(tells_meta(query.list_queries), _BY_ID), "POST": query.create}),
    Route("/v1/query/", {}, otherwise=query.one),
    _get("/v1/status/leader", status.leader),
    _get("/v1/status/peers", status.peers),
    _get("/v1/agent/self", agent.self_description),
    _get("/v1/agent/members", agent.members),
    _get("/v1/agent/metrics", agent.metrics),
    _get("/v1/agent/monitor", agent_monitor.monitor),
    _get("/v1/agent/host", agent_monitor.host),
    _put("/v1/agent/token/", disabled.acl),
    Route("/v1/agent/connect/authorize", {"POST": disabled.connect_authorize}),
    _get("/v1/agent/connect/ca/roots", disabled.connect_certificates),
    _get("/v1/agent/connect/ca/leaf/", disabled.connect_certificates),
    Route("/debug/pprof/", dict.fromkeys(("GET", "POST"), profiles.profile)),
    _put("/v1/agent/reload", agent.reload),
    _put("/v1/agent/join/", agent.join),
    _put("/v1/agent/leave", agent.leave),
    _put("/v1/agent/force-leave/", agent.force_leave),
    _get("/v1/agent/services", agent_services.services),
    _get("/v1/agent/service/", agent_services.service),
    _put("/v1/agent/service/register", agent_services.register),
    _put("/v1/agent/service/deregister/", agent_services.deregister),
    _put("/v1/agent/maintenance", agent_maintenance.node),
    _put("/v1/agent/service/maintenance/", agent_maintenance.service),
    _get("/v1/agent/checks", agent_checks.checks),
    _put("/v1/agent/check/register", agent_checks.register),
    _put("/v1/agent/check/deregister/", agent_checks.deregister),
    _put("/v1/agent/check/pass/", agent_checks.passing),
    _put("/v1/agent/check/warn/", agent_checks.warning),
    _put("/v1/agent/check/fail/", agent_checks.critical),
    _put("/v1/agent/check/update/", agent_checks.update),
    _get("/v1/agent/health/service/id/", agent_health.by_id),
    _get("/v1/agent/health/service/name/", agent_health.by_name),
    _get("/v1/coordinate/datacenters", coordinate.datacenters),
    _read("/v1/coordinate/nodes", coordinate.nodes, _BY_PLACE),
    _read("/v1/coordinate/node/", coordinate.node, _BY_PLACE),
    _put("/v1/coordinate/update", coordinate.update),
    _put("/v1/event/fire/", event.fire),
    _read("/v1/event/list", event.list_events, _BY_ID),
    _read("/v1/internal/ui/nodes", tells_meta(internal_ui.nodes), by_fields("Node")),
    _read("/v1/internal/ui/node/", tells_meta(internal_ui.node), AS_A_WHOLE),
    _read("/v1/internal/ui/services", tells_meta(internal_ui.services), by_fields("Name")),
    _get("/v1/internal/ui/gateway-services-nodes/", tells_meta(internal_ui.gateway_services)),
    _get("/v1/internal/ui/gateway-intentions/", tells_meta(internal_ui.gateway_intentions)),
    _get("/v1/internal/ui/service-topology/", tells_meta(internal_ui.topology)),
    _get("/v1/internal/ui/metrics-proxy/", internal_ui.metrics_proxy),
    Route(
        "/v1/operator/keyring",
        {
            "GET": operator.list_keys,
            "POST": operator.install_key,
            "PUT": operator.use_key,
            "DELETE": operator.remove_key,
        },
    ),
    Route(
        "/v1/operator/autopilot/configuration",
        {"GET": operator_autopilot.configuration, "PUT": operator_autopilot.set_configuration},
    ),
    _get("/v1/operator/autopilot/health", operator_autopilot.health),
    _get("/v1/operator/autopilot/state", operator_autopilot.state),
    _get("/v1/operator/raft/configuration", operator_raft.configuration),
    Route("/v1/operator/raft/peer", {"DELETE": operator_raft.remove_peer}),
    Route("/v1/operator/raft/transfer-leader", {"POST": operator_raft.transfer_leader}),
    Route("/v1/snapshot", {"GET": snapshot.save, "PUT": snapshot.restore}),
)
