"""The services and checks of this agent: what it was told, and what the catalog still has to hear."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from consul_kernel.contracts.errors import AgentError, NotFoundError
from consul_kernel.structs.check import (
    NODE_MAINTENANCE_CHECK_ID,
    SERVICE_MAINTENANCE_PREFIX,
    CheckDefinition,
    CheckStatus,
    HealthCheck,
)
from consul_kernel.structs.check_keys import ClaimKeys, refuse_keys
from consul_kernel.structs.service import NodeService, ServiceDefinition

from .check_log import log_status
from .checks.admitting import MakeRunner, admit, admit_again
from .checks.maintenance import node_maintenance, service_maintenance
from .checks.output import output_limit_bytes, truncated
from .checks.runner import CheckRunner, Report
from .checks.ttl import TtlRunner
from .checks.unavailable import UnavailableRunner
from .definitions import deregister_after_s, health_check, node_check, node_service, service_checks
from .entries import CheckEntry, Origin, ServiceEntry
from .registrations import KeptCheck, KeptService, Registrations
from .restoring import keep_ttl_states, restore
from .service_watches import ServiceWatches

logger = logging.getLogger(__name__)


class LocalState:
    """Implements `contracts.interface.LocalRegistry`; anti-entropy reads and marks the entries.

    `on_change` is called after every change that the catalog should hear of soon; `pushed` waits until it has.
    """

    def __init__(
        self,
        *,
        node_name: str,
        make_runner: MakeRunner,
        on_change: Callable[[], None],
        pushed: Callable[[], Awaitable[None]],
        remote_scripts: bool,
        check_update_interval_s: float = 300.0,
        output_limit_bytes: int = 4096,
        discard_output: bool = False,
        kept: Registrations | None = None,
        claim_keys: ClaimKeys = refuse_keys,
    ) -> None:
        """`kept` is where registrations from outside outlive the process; `claim_keys` knows the keys of plugins."""
        self.claim_keys = claim_keys
        self._kept = kept or Registrations(None)
        self._node = node_name
        self._make_runner_of = make_runner
        self._on_change = on_change
        self._pushed = pushed
        self._remote_scripts = remote_scripts
        self._update_interval_s = check_update_interval_s
        self._output_limit_bytes = output_limit_bytes
        self._discard_output = discard_output
        self.runners: dict[str, CheckRunner] = {}
        self._deferred: dict[str, asyncio.TimerHandle] = {}
        self.watches = ServiceWatches()
        self.service_entries: dict[str, ServiceEntry] = {}
        self.check_entries: dict[str, CheckEntry] = {}

    # --- LocalRegistry ---

    def services(self) -> Mapping[str, NodeService]:
        """By service id."""
        return {key: entry.service for key, entry in self.service_entries.items() if not entry.deleted}

    def checks(self) -> Mapping[str, HealthCheck]:
        """By check id."""
        return {key: entry.check for key, entry in self.check_entries.items() if not entry.deleted}

    def register_service(
        self,
        definition: ServiceDefinition,
        *,
        replace_existing_checks: bool = False,
        token: str = "",
        from_file: bool = False,
    ) -> None:
        """Add or replace a service and its checks."""
        service = node_service(definition)
        checks = service_checks(definition)
        # What is refused is refused before anything changes: a service is never here with half of its checks.
        runners = [self.make_runner(check, from_file=from_file) for check in checks]
        token = definition.token or token
        if from_file:
            self._kept.drop_service(service.id)
        else:
            bare = msgspec.structs.replace(definition, check=None, checks=None)
            self._kept.keep_service(KeptService(service=bare, token=token))
        if replace_existing_checks:
            kept = {check.id for check in checks}
            for check_id in [key for key, entry in self._live_checks(service.id) if key not in kept]:
                self._remove_check(check_id)
        self.service_entries[service.id] = ServiceEntry(service, token, from_file=from_file)
        self.watches.changed(service.id)
        origin = Origin.FILE if from_file else Origin.OUTSIDE
        for check, runner in zip(checks, runners, strict=True):
            self.add_check(check, runner, service, token, standalone=False, origin=origin)
        self._on_change()

    def deregister_service(self, service_id: str) -> None:
        """Remove a service and its checks; an unknown id is logged, as in Consul, and is no error."""
        entry = self.service_entries.get(service_id)
        if entry is None or entry.deleted:
            logger.warning("deregistered a service that is not here: %s", service_id)
            return
        self._kept.drop_service(service_id)
        for check_id, _ in self._live_checks(service_id):
            self._remove_check(check_id)
        entry.deleted, entry.in_sync = True, False
        self.watches.changed(service_id)
        self._on_change()

    def register_check(self, definition: CheckDefinition, *, token: str = "", from_file: bool = False) -> None:
        """Add or replace a check."""
        check = node_check(definition)
        service = None
        if check.service_id:
            entry = self.service_entries.get(check.service_id)
            if entry is None or entry.deleted:
                raise AgentError(f'ServiceID "{check.service_id}" does not exist')
            service, token = entry.service, check.token or token or entry.token
        runner = self.make_runner(check, from_file=from_file)
        origin = Origin.FILE if from_file else Origin.OUTSIDE
        self.add_check(check, runner, service, check.token or token, standalone=True, origin=origin)
        self._on_change()

    def deregister_check(self, check_id: str) -> None:
        """Remove a check; an unknown id is no error."""
        if not check_id:
            raise AgentError("CheckID missing")
        entry = self.check_entries.get(check_id)
        if entry is None or entry.deleted:
            return
        self._remove_check(check_id)
        self._on_change()

    def update_ttl_check(self, check_id: str, status: CheckStatus, output: str) -> None:
        """Set the state of a TTL check and restart its time."""
        runner = self.runners.get(check_id)
        if not isinstance(runner, TtlRunner):
            raise AgentError(f'CheckID "{check_id}" does not have associated TTL')
        runner.update(status, truncated(output, self._output_limit(check_id)))

    def enable_node_maintenance(self, reason: str, *, token: str = "") -> None:
        """Take the node out of service; where it is so already, the reason stays."""
        self._enable_maintenance(node_maintenance(reason), None, token)

    def enable_service_maintenance(self, service_id: str, reason: str, *, token: str = "") -> None:
        """Take a service out of service, likewise."""
        entry = self._live_service(service_id)
        self._enable_maintenance(service_maintenance(service_id, reason), entry.service, token or entry.token)

    def disable_node_maintenance(self) -> None:
        """Put the node back into service; no error where it is."""
        self.deregister_check(NODE_MAINTENANCE_CHECK_ID)

    def disable_service_maintenance(self, service_id: str) -> None:
        """Put a service back into service, likewise."""
        self._live_service(service_id)
        self.deregister_check(SERVICE_MAINTENANCE_PREFIX + service_id)

    def _live_service(self, service_id: str) -> ServiceEntry:
        entry = self.service_entries.get(service_id)
        if entry is None or entry.deleted:
            raise NotFoundError(f'No service registered with ID "{service_id}"')
        return entry

    def _enable_maintenance(self, definition: CheckDefinition, service: NodeService | None, token: str) -> None:
        entry = self.check_entries.get(definition.id)
        if entry is not None and not entry.deleted:
            return
        self.add_check(
            definition,
            self.make_runner(definition, from_file=False),
            service,
            token,
            standalone=False,
            origin=Origin.OUTSIDE,
        )
        logger.info("%s is in maintenance mode: %s", f"service {service.id}" if service else "node", definition.notes)
        self._on_change()

    async def wait_for_change(self, service_id: str, timeout_s: float) -> bool:
        """Wait until a service may have changed, or is gone; False when the time is over first."""
        return await self.watches.wait(service_id, timeout_s)

    async def synced(self) -> None:
        """Wait until the catalog has heard of the changes so far."""
        await self._pushed()

    # --- for the agent ---

    def restore(self) -> None:
        """Take up what was kept; what the agent file defines by now, or what is not allowed any more, is dropped."""
        restore(self, self._kept)
        self._on_change()

    def discard_output(self, discards: bool) -> None:
        """Whether checks' output is dropped from now on (`discard_check_output`)."""
        self._discard_output = discards

    # --- for anti-entropy ---

    def forget(self) -> None:
        """Drop the entries whose removal the catalog has confirmed."""
        for entries in (self.service_entries, self.check_entries):
            for key in [key for key, entry in entries.items() if entry.deleted and entry.in_sync]:
                del entries[key]

    def critical_services(self, now_s: float) -> list[str]:
        """Services that were critical longer than their check's `deregister_critical_service_after`.

        Not for a check that this agent cannot carry out any more: that says nothing of the service.
        """
        return [
            entry.check.service_id
            for key, entry in self.check_entries.items()
            if entry.check.service_id
            and entry.critical_since_s is not None
            and now_s - entry.critical_since_s > deregister_after_s(entry.definition)
            and not isinstance(self.runners.get(key), UnavailableRunner)
        ]

    def close(self) -> None:
        """Stop every check, noting how TTL checks stood."""
        try:
            keep_ttl_states(self, self._kept)
        except AgentError as error:
            logger.warning("%s", error)
        for runner in self.runners.values():
            runner.stop()
        for timer in self._deferred.values():
            timer.cancel()
        self.runners.clear()
        self._deferred.clear()

    # --- inside ---

    def _live_checks(self, service_id: str) -> list[tuple[str, CheckEntry]]:
        return [
            (key, entry)
            for key, entry in self.check_entries.items()
            if entry.check.service_id == service_id and not entry.deleted
        ]

    def make_runner(self, definition: CheckDefinition, *, from_file: bool) -> CheckRunner:
        """What carries a check out, not started. Raises RequestError or AgentError where this agent does not do it."""
        scripts = from_file or self._remote_scripts
        return admit(self._make_runner_of, definition, self._reporter(definition), scripts=scripts)

    def make_runner_again(self, definition: CheckDefinition) -> CheckRunner:
        """As `make_runner` for what was taken in an earlier life, which stays where its plugin is gone. AgentError."""
        return admit_again(self._make_runner_of, definition, self._reporter(definition), scripts=self._remote_scripts)

    def _reporter(self, definition: CheckDefinition) -> Report:
        return lambda status, output: self._report(definition.id, status, output)

    def add_check(
        self,
        definition: CheckDefinition,
        runner: CheckRunner,
        service: NodeService | None,
        token: str,
        *,
        standalone: bool,
        origin: Origin,
    ) -> None:
        """Add or replace a check that was found to be good, and start it.

        One that was here keeps its state, unless somebody registers it with another.
        """
        check = health_check(
            definition, node=self._node, service=service, standalone=standalone, shown_type=runner.shown_type
        )
        previous, logged = self.check_entries.get(check.check_id), False
        if previous is not None and not previous.deleted and (origin is Origin.FILE or not definition.status):
            check = msgspec.structs.replace(check, status=previous.check.status, output=previous.check.output)
            logged = previous.logged
        if origin is Origin.OUTSIDE:
            self._kept.keep_check(KeptCheck(check=definition, token=token, standalone=standalone))
        elif origin is Origin.FILE:
            self._kept.drop_check(check.check_id)
        self._stop_runner(check.check_id)
        critical_since_s = time.monotonic() if check.status == CheckStatus.CRITICAL else None
        self.check_entries[check.check_id] = CheckEntry(
            check,
            definition,
            definition.token or token,
            critical_since_s=critical_since_s,
            logged=logged,
            from_file=origin is Origin.FILE,
        )
        self.runners[check.check_id] = runner
        runner.start()

    def _remove_check(self, check_id: str) -> None:
        self._kept.drop_check(check_id)
        self._stop_runner(check_id)
        entry = self.check_entries[check_id]
        entry.deleted, entry.in_sync = True, False

    def _stop_runner(self, check_id: str) -> None:
        runner = self.runners.pop(check_id, None)
        if runner is not None:
            runner.stop()
        timer = self._deferred.pop(check_id, None)
        if timer is not None:
            timer.cancel()

    def _output_limit(self, check_id: str) -> int:
        entry = self.check_entries.get(check_id)
        return output_limit_bytes(entry.definition if entry else None, self._output_limit_bytes)

    def _report(self, check_id: str, status: CheckStatus, output: str) -> None:
        entry = self.check_entries.get(check_id)
        if entry is None or entry.deleted:
            return
        said, output = output, "" if self._discard_output else output
        status_changed, output_changed = entry.check.status != status, entry.check.output != output
        if status_changed or output_changed:
            entry.check = msgspec.structs.replace(entry.check, status=status, output=output)
        if status_changed or not entry.logged:
            entry.logged = True
            log_status(entry.check, said)
        if status_changed:
            entry.critical_since_s = time.monotonic() if status == CheckStatus.CRITICAL else None
            entry.in_sync = False
            self._on_change()
        elif output_changed:
            self._defer_output(check_id)

    def _defer_output(self, check_id: str) -> None:
        """Output that changes at every run would flood the catalog: tell it once per `check_update_interval`."""
        if self._update_interval_s <= 0:
            self._publish_output(check_id)
        elif check_id not in self._deferred:
            loop = asyncio.get_running_loop()
            self.check_entries[check_id].output_pending = True
            self._deferred[check_id] = loop.call_later(self._update_interval_s, self._publish_output, check_id)

    def _publish_output(self, check_id: str) -> None:
        self._deferred.pop(check_id, None)
        entry = self.check_entries.get(check_id)
        if entry is not None and not entry.deleted:
            entry.output_pending, entry.in_sync = False, False
            self._on_change()
