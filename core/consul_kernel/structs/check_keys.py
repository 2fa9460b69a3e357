"""Keys of check definitions that are none of Consul's: whoever knows the plugins of a host says whose they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from consul_kernel.contracts.errors import RequestError

from .check import CheckDefinition
from .service import ServiceDefinition

ClaimKeys = Callable[[CheckDefinition, Mapping[str, Any]], CheckDefinition]
"""Gives a definition `kind` and `options` from the keys that its record lacks, as they were written.

Raises RequestError with Go's text for a key that is nobody's, AgentError for a plugin that does not work.
"""

RecordT = TypeVar("RecordT", bound=msgspec.Struct)


def unknown_field(key: str) -> RequestError:
    """Go's complaint about a key that no record has."""
    return RequestError(f"json: unknown field {json.dumps(key, ensure_ascii=False)}")


def refuse_keys(definition: CheckDefinition, keys: Mapping[str, Any]) -> CheckDefinition:
    """For those who know of no plugins: all of the keys are nobody's."""
    raise unknown_field(next(iter(keys)))


def claim_all(record: RecordT, claim: ClaimKeys) -> RecordT:
    """The record with the options of its check definitions, which are as they were written, claimed."""
    if isinstance(record, CheckDefinition):
        return _claim(record, claim)  # type: ignore[return-value]
    if isinstance(record, ServiceDefinition):
        record.check = record.check and _claim(record.check, claim)
        record.checks = record.checks and [_claim(check, claim) for check in record.checks]
    return record


def _claim(definition: CheckDefinition, claim: ClaimKeys) -> CheckDefinition:
    if not definition.options:
        return definition
    return claim(msgspec.structs.replace(definition, options=None), definition.options)
