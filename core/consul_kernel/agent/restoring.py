"""Registrations of an earlier life of the agent, taken up again with their state."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from consul_kernel.contracts.errors import AgentError, RequestError

from .checks.ttl import TtlRunner
from .definitions import node_service
from .entries import Origin, ServiceEntry
from .registrations import KeptCheck, Registrations

if TYPE_CHECKING:
    from .local import LocalState

logger = logging.getLogger(__name__)


def restore(local: LocalState, registrations: Registrations) -> None:
    """Take up what was kept; what the agent file defines by now, or what is not allowed any more, is dropped."""
    for kept in registrations.services():
        service_id = kept.service.id or kept.service.name
        if service_id in local.service_entries:
            registrations.drop_service(service_id)
            continue
        try:
            local.service_entries[service_id] = ServiceEntry(node_service(kept.service), kept.token)
        except RequestError as error:
            logger.warning("the kept service %s is dropped: %s", service_id, error)
            registrations.drop_service(service_id)
    for check in registrations.checks():
        _restore_check(local, registrations, check)


def _restore_check(local: LocalState, registrations: Registrations, kept: KeptCheck) -> None:
    definition = kept.check
    service = local.service_entries.get(definition.service_id)
    if definition.id in local.check_entries or (definition.service_id and service is None):
        registrations.drop_check(definition.id)
        return
    still_true = time.time() < kept.expires_unix_s
    if still_true:
        definition = msgspec.structs.replace(definition, status=kept.status)
    try:
        local.add_check(
            definition,
            local.make_runner_again(definition),
            service.service if service else None,
            kept.token,
            standalone=kept.standalone,
            origin=Origin.KEPT,
        )
    except (RequestError, AgentError) as error:
        logger.warning("the kept check %s is dropped: %s", definition.id, error)
        registrations.drop_check(definition.id)
        return
    if still_true:
        entry = local.check_entries[definition.id]
        entry.check = msgspec.structs.replace(entry.check, output=kept.output)


def keep_ttl_states(local: LocalState, registrations: Registrations) -> None:
    """So that a restart does not turn well services critical until their next word. Raises AgentError."""
    for kept in list(registrations.checks()):
        runner, entry = local.runners.get(kept.check.id), local.check_entries.get(kept.check.id)
        if isinstance(runner, TtlRunner) and entry is not None:
            expires_unix_s = time.time() + runner.remaining_s()
            state = msgspec.structs.replace(
                kept, status=entry.check.status, output=entry.check.output, expires_unix_s=expires_unix_s
            )
            registrations.keep_check(state)
