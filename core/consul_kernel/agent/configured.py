"""The services and checks of the agent file, which follow it when it is read again."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.service import ServiceDefinition

from .definitions import node_check, node_service, service_checks
from .local import LocalState


class Configured:
    """What of the agent file is registered. What clients registered is not touched, as long as the ids differ."""

    def __init__(self, local: LocalState) -> None:
        self._local = local
        self._services: dict[str, ServiceDefinition] = {}
        self._checks: dict[str, CheckDefinition] = {}

    def validate(self, services: Sequence[ServiceDefinition], checks: Sequence[CheckDefinition]) -> None:
        """Raises RequestError or AgentError where `follow` would refuse one of them. Nothing changes."""
        for service in services:
            node_service(service)
            for check in service_checks(service):
                self._local.make_runner(check, from_file=True)
        for check in checks:
            self._local.make_runner(node_check(check), from_file=True)

    def follow(self, services: Sequence[ServiceDefinition], checks: Sequence[CheckDefinition]) -> None:
        """Register what is new or has changed, deregister what the file has dropped, leave alone what is as it was.

        Checks that go on keep their state. Raises RequestError and AgentError.
        """
        self._follow_services({service.id or service.name: service for service in services})
        self._follow_checks({check.check_id or check.id or check.name: check for check in checks})

    def _follow_services(self, wanted: dict[str, ServiceDefinition]) -> None:
        local = self._local
        for service_id in [key for key in self._services if key not in wanted]:
            if self._is_from_file(service_id):
                local.deregister_service(service_id)
            del self._services[service_id]
        for service_id, service in wanted.items():
            known = self._services.get(service_id)
            if known == service and self._is_whole(service_id, service):
                continue
            check_ids = {check.id for check in service_checks(service)}
            for check in service_checks(known) if known is not None else ():
                if check.id not in check_ids:
                    local.deregister_check(check.id)
            local.register_service(service, from_file=True)
            self._services[service_id] = service

    def _follow_checks(self, wanted: dict[str, CheckDefinition]) -> None:
        local = self._local
        for check_id in [key for key in self._checks if key not in wanted]:
            if self._is_running(check_id):
                local.deregister_check(check_id)
            del self._checks[check_id]
        for check_id, check in wanted.items():
            if self._checks.get(check_id) != check or not self._is_running(check_id):
                local.register_check(check, from_file=True)
                self._checks[check_id] = check

    def _is_from_file(self, service_id: str) -> bool:
        entry = self._local.service_entries.get(service_id)
        return entry is not None and entry.from_file and not entry.deleted

    def _is_whole(self, service_id: str, service: ServiceDefinition) -> bool:
        """Whether a service is here as the file has it, with its checks."""
        return self._is_from_file(service_id) and all(self._is_running(check.id) for check in service_checks(service))

    def _is_running(self, check_id: str) -> bool:
        entry = self._local.check_entries.get(check_id)
        return entry is not None and entry.from_file and not entry.deleted
