"""Registrations that came from outside, kept in the data directory, so that a restarted agent still has them.

One JSON file for each service and each check, named by a digest of its id, as Consul keeps them under
`services/` and `checks/`. Files are replaced by renaming, so a crash leaves the old one or the new one. What an
agent file defines is not kept: the file is there to be read again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from consul_kernel.contracts.errors import AgentError
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.record import Record
from consul_kernel.structs.service import ServiceDefinition

logger = logging.getLogger(__name__)

SERVICES_FOLDER = "services"
CHECKS_FOLDER = "checks"
FILE_MODE = 0o600
"""Definitions may hold tokens."""


class KeptService(Record, kw_only=True):
    """A service without its checks, which are kept one by one."""

    service: ServiceDefinition
    token: str = ""


class KeptCheck(Record, kw_only=True):
    """A check with its id filled in. `expires_unix_s` is when a TTL check's last state stops being true."""

    check: CheckDefinition
    token: str = ""
    standalone: bool = True
    status: str = ""
    output: str = ""
    expires_unix_s: float = 0.0


KeptT = TypeVar("KeptT", KeptService, KeptCheck)


class Registrations:
    """The files. With `data_dir` None nothing is kept and nothing is found."""

    def __init__(self, data_dir: Path | None) -> None:
        self._services = data_dir / SERVICES_FOLDER if data_dir is not None else None
        self._checks = data_dir / CHECKS_FOLDER if data_dir is not None else None

    def services(self) -> Iterator[KeptService]:
        """Every service that was kept; files that cannot be read are reported and passed over."""
        return _load(self._services, KeptService)

    def checks(self) -> Iterator[KeptCheck]:
        """Every check that was kept, likewise."""
        return _load(self._checks, KeptCheck)

    def keep_service(self, kept: KeptService) -> None:
        """Raises AgentError when it cannot be written."""
        _write(self._services, kept.service.id or kept.service.name, kept)

    def keep_check(self, kept: KeptCheck) -> None:
        """Raises AgentError when it cannot be written."""
        _write(self._checks, kept.check.id, kept)

    def drop_service(self, service_id: str) -> None:
        """Forget a service; one that was not kept is no error."""
        _remove(self._services, service_id)

    def drop_check(self, check_id: str) -> None:
        """Forget a check; one that was not kept is no error."""
        _remove(self._checks, check_id)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}.json"


def _write(folder: Path | None, key: str, kept: KeptService | KeptCheck) -> None:
    if folder is None:
        return
    path = _path(folder, key)
    temporary = path.with_suffix(".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
            file.write(msgspec.json.encode(kept))
        temporary.replace(path)
    except OSError as error:
        raise AgentError(f"failed to keep the registration of {key!r} in {folder}: {error.strerror}") from error


def _remove(folder: Path | None, key: str) -> None:
    if folder is None:
        return
    try:
        _path(folder, key).unlink(missing_ok=True)
    except OSError as error:
        logger.error("the registration of %r could not be removed from %s: %s", key, folder, error.strerror)


def _load(folder: Path | None, kind: type[KeptT]) -> Iterator[KeptT]:
    if folder is None or not folder.is_dir():
        return
    for path in sorted(folder.glob("*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=kind)
        except (OSError, ValueError) as error:
            logger.error("the registration in %s is passed over, since it cannot be read: %s", path, error)
