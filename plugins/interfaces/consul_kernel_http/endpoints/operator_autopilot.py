"""`/v1/operator/autopilot`: how the leader looks after the servers."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.autopilot import AutopilotConfig, AutopilotSetConfigRequest
from consul_kernel.structs.decoding import decode_record
from consul_kernel.structs.methods import (
    OPERATOR_AUTOPILOT_GET_CONFIGURATION,
    OPERATOR_AUTOPILOT_SET_CONFIGURATION,
    OPERATOR_AUTOPILOT_STATE,
    OPERATOR_SERVER_HEALTH,
)
from consul_kernel.structs.query import DCSpecificRequest
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError
from consul_kernel_http.options import UintError, parse_uint, read_options
from consul_kernel_http.views.autopilot import autopilot_config_view, autopilot_state_view, cluster_health_view

UNHEALTHY = 429


async def configuration(exchange: Exchange) -> Answer:
    """The configuration."""
    request = read_options(exchange, DCSpecificRequest())
    config = await exchange.agent.call(OPERATOR_AUTOPILOT_GET_CONFIGURATION, request)
    return exchange.json(autopilot_config_view(config))


async def set_configuration(exchange: Exchange) -> Answer:
    """Replace the configuration, with `cas` only if it was last changed then; whether that was done."""
    try:
        config = decode_record(AutopilotConfig, await exchange.json_body())
    except RequestError as error:
        raise BadRequestError(f"Bad request: Error parsing autopilot config: {error}") from None
    if min(config.max_trailing_logs, config.min_quorum, config.last_contact_threshold) < 0:
        raise BadRequestError("Bad request: Error parsing autopilot config: numbers and durations cannot be negative")
    is_conditional = "cas" in exchange.query
    config.create_index = config.modify_index = 0
    if is_conditional:
        try:
            config.modify_index = parse_uint(exchange.query.get("cas") or "")
        except UintError as error:
            raise BadRequestError(f"Bad request: Error parsing cas value: {error}") from None
    request = AutopilotSetConfigRequest(
        datacenter=exchange.datacenter(), token=exchange.token(), config=config, cas=is_conditional
    )
    return exchange.json(await exchange.agent.call(OPERATOR_AUTOPILOT_SET_CONFIGURATION, request))


async def health(exchange: Exchange) -> Answer:
    """Every server; 429 while one of them is not well."""
    request = read_options(exchange, DCSpecificRequest())
    found = await exchange.agent.call(OPERATOR_SERVER_HEALTH, request)
    return exchange.json(cluster_health_view(found), status=200 if found.healthy else UNHEALTHY)


async def state(exchange: Exchange) -> Answer:
    """Every server by id, and how many may fail."""
    request = read_options(exchange, DCSpecificRequest())
    return exchange.json(autopilot_state_view(await exchange.agent.call(OPERATOR_AUTOPILOT_STATE, request)))
