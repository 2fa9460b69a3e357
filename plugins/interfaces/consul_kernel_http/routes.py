"""Every route of the interface, on one page."""

from __future__ import annotations

from .endpoints import (
    agent,
    agent_checks,
    agent_health,
    agent_maintenance,
    agent_services,
    catalog,
    config,
    coordinate,
    event,
    health,
    kv,
    operator,
    operator_autopilot,
    operator_raft,
    query,
    session,
    snapshot,
    status,
    txn,
)
from .endpoints.catalog import tells_meta
from .exchange import Endpoint
from .routing import Route


def _get(pattern: str, endpoint: Endpoint) -> Route:
    return Route(pattern, {"GET": endpoint})


def _put(pattern: str, endpoint: Endpoint) -> Route:
    return Route(pattern, {"PUT": endpoint})


ROUTES = (
    Route("/v1/kv/", {"GET": kv.get, "PUT": kv.put, "DELETE": kv.delete}),
    _put("/v1/catalog/register", catalog.register),
    _put("/v1/catalog/deregister", catalog.deregister),
    _get("/v1/catalog/datacenters", catalog.datacenters),
    _get("/v1/catalog/nodes", tells_meta(catalog.nodes)),
    _get("/v1/catalog/services", tells_meta(catalog.services)),
    _get("/v1/catalog/service/", tells_meta(catalog.service_nodes)),
    _get("/v1/catalog/connect/", tells_meta(catalog.connect_nodes)),
    _get("/v1/catalog/gateway-services/", tells_meta(catalog.gateway_services)),
    _get("/v1/catalog/node/", tells_meta(catalog.node_services)),
    _get("/v1/catalog/node-services/", tells_meta(catalog.node_service_list)),
    _get("/v1/health/node/", tells_meta(health.node_checks)),
    _get("/v1/health/checks/", tells_meta(health.service_checks)),
    _get("/v1/health/state/", tells_meta(health.state_checks)),
    _get("/v1/health/service/", health.service_nodes),
    _get("/v1/health/connect/", health.connect_nodes),
    _get("/v1/health/ingress/", health.ingress_nodes),
    _put("/v1/session/create", session.create),
    _put("/v1/session/destroy/", session.destroy),
    _put("/v1/session/renew/", session.renew),
    _get("/v1/session/info/", tells_meta(session.info)),
    _get("/v1/session/node/", tells_meta(session.of_node)),
    _get("/v1/session/list", tells_meta(session.list_sessions)),
    _put("/v1/txn", txn.txn),
    _put("/v1/config", config.write),
    Route("/v1/config/", {"GET": config.get, "DELETE": config.delete}),
    Route("/v1/query", {"GET": tells_meta(query.list_queries), "POST": query.create}),
    Route("/v1/query/", {}, otherwise=query.one),
    _get("/v1/status/leader", status.leader),
    _get("/v1/status/peers", status.peers),
    _get("/v1/agent/self", agent.self_description),
    _get("/v1/agent/members", agent.members),
    _get("/v1/agent/metrics", agent.metrics),
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
    _get("/v1/coordinate/nodes", coordinate.nodes),
    _get("/v1/coordinate/node/", coordinate.node),
    _put("/v1/coordinate/update", coordinate.update),
    _put("/v1/event/fire/", event.fire),
    _get("/v1/event/list", event.list_events),
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
