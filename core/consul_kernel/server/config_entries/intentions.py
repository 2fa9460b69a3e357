"""What intentions of a service may say."""

from __future__ import annotations

from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.metadata import MAX_VALUE_LENGTH

from .http_matches import HEADER_TESTS, count_paths, path_fault, tests_fault
from .values import WILDCARD, Settings, mapping, methods_fault, records, text, texts

_ACTIONS = ("allow", "deny")
_PARTIAL = "Name: wildcard character '*' cannot be used with partial values"


def intentions_fault(name: str, settings: Settings) -> str:
    """What is wrong, or an empty string."""
    if _is_partial(name):
        return _PARTIAL
    sources = records(settings, "Sources")
    if not sources:
        return "At least one source is required"
    names = set()
    for at, source in enumerate(sources):
        fault = _source_fault(source, is_wild=name == WILDCARD) or _permissions_fault(source)
        if fault:
            return f"Sources[{at}].{fault}"
        source_name = text(source, "Name")
        if source_name in names:
            return f"Sources[{at}] defines {quote(source_name)} more than once"
        names.add(source_name)
    return ""


def _is_partial(name: str) -> bool:
    return name != WILDCARD and WILDCARD in name


def _source_fault(source: Settings, *, is_wild: bool) -> str:
    permissions, action = records(source, "Permissions"), text(source, "Action")
    if not text(source, "Name"):
        return "Name is required"
    if _is_partial(text(source, "Name")):
        return _PARTIAL
    if len(text(source, "Description").encode()) > MAX_VALUE_LENGTH:
        return f"Description exceeds maximum length {MAX_VALUE_LENGTH}"
    if source.get("LegacyMeta"):
        return "LegacyMeta must be omitted"
    if not permissions and action not in _ACTIONS:
        return "Action must be set to 'allow' or 'deny'"
    if permissions and action:
        return "Action must be omitted if Permissions are specified"
    if permissions and is_wild:
        return "Permissions cannot be specified on intentions with wildcarded destinations"
    return "" if text(source, "Type") == "consul" else "Type must be set to 'consul'"


def _permissions_fault(source: Settings) -> str:
    for at, permission in enumerate(records(source, "Permissions")):
        place = f"Permissions[{at}]"
        if text(permission, "Action") not in _ACTIONS:
            return f"{place}.Action must be set to 'allow' or 'deny'"
        if permission.get("HTTP") is None:
            return f"{place}.HTTP is required"
        fault = _http_fault(mapping(permission, "HTTP"))
        if fault:
            return f"{place}.HTTP{fault}"
    return ""


def _http_fault(http: Settings) -> str:
    fault = path_fault(http, ".") or tests_fault(http, "Header", HEADER_TESTS, ".")
    if fault:
        return fault
    methods = texts(http, "Methods")
    method_fault = methods_fault(methods)
    if method_fault:
        return f".Methods {method_fault}"
    return "" if count_paths(http) or http.get("Header") or methods else " should not be empty"
