"""What a service router may say."""

from __future__ import annotations

from .http_matches import HEADER_TESTS, path_fault, tests_fault
from .values import Settings, mapping, methods_fault, records, text, texts

_PARAMETER_TESTS = ("Present", "Exact", "Regex")


def router_fault(_: str, settings: Settings) -> str:
    """What is wrong, or an empty string."""
    for at, route in enumerate(records(settings, "Routes")):
        fault = _match_fault(mapping(mapping(route, "Match"), "HTTP")) or _destination_fault(route)
        if fault:
            return f"Route[{at}]{fault}"
    return ""


def _match_fault(http: Settings) -> str:
    fault = (
        path_fault(http, " ")
        or tests_fault(http, "Header", HEADER_TESTS, " ")
        or tests_fault(http, "QueryParam", _PARAMETER_TESTS, " ")
    )
    if fault:
        return fault
    methods = methods_fault(texts(http, "Methods"))
    return f" Methods {methods}" if methods else ""


def _destination_fault(route: Settings) -> str:
    http = mapping(mapping(route, "Match"), "HTTP")
    rewrites = text(mapping(route, "Destination"), "PrefixRewrite")
    if rewrites and not text(http, "PathExact") and not text(http, "PathPrefix"):
        return " cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
    return ""
