"""What a service resolver may say."""

from __future__ import annotations

import re
from collections.abc import Collection

from consul_kernel.filters.parser import FilterError, parse
from consul_kernel.structs.duration import format_duration_ns
from consul_kernel.structs.go_quote import quote

from .values import WILDCARD, Settings, mapping, number, records, text, texts

MAX_SUBSET_NAME = 63
_SUBSET_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_POLICIES = ("", "random", "round_robin", "least_request", "ring_hash", "maglev")
_HASH_BASED = ("ring_hash", "maglev")
_HASHED_FIELDS = ("header", "cookie", "query_parameter")


def resolver_fault(name: str, settings: Settings) -> str:
    """What is wrong, or an empty string."""
    subsets = mapping(settings, "Subsets")
    default = text(settings, "DefaultSubset")
    fault = _subsets_fault(subsets)
    if fault:
        return fault
    if default and default not in subsets:
        return f"DefaultSubset {quote(default)} is not a valid subset"
    timeout_ns = int(number(settings, "ConnectTimeout"))
    return (
        _redirect_fault(name, settings, subsets)
        or _failover_fault(name, settings, subsets)
        or (f"Bad ConnectTimeout '{format_duration_ns(timeout_ns)}', must be >= 0" if timeout_ns < 0 else "")
        or _load_balancer_fault(mapping(settings, "LoadBalancer"))
    )


def _subsets_fault(subsets: dict[str, Settings]) -> str:
    for name, subset in subsets.items():
        if not name:
            return "Subset defined with empty name"
        if len(name) > MAX_SUBSET_NAME:
            return f"Subset {quote(name)} is invalid: must be non-empty and 63 characters or fewer"
        if not _SUBSET_NAME.fullmatch(name):
            return (
                f"Subset {quote(name)} is invalid: must be 63 characters or fewer, begin or end with lower case "
                "alphanumeric characters, and contain lower case alphanumeric characters or '-' in between"
            )
        expression = text(subset or {}, "Filter")
        if expression:
            try:
                parse(expression)
            except FilterError as error:
                return f"Filter for subset {quote(name)} is not a valid expression: {error}"
    return ""


def _redirect_fault(name: str, settings: Settings, subsets: Collection[str]) -> str:
    if settings.get("Redirect") is None:
        return ""
    redirect = mapping(settings, "Redirect")
    service, subset = text(redirect, "Service"), text(redirect, "ServiceSubset")
    if settings.get("Failover"):
        return "Redirect and Failover cannot both be set"
    if not any(redirect.values()):
        return "Redirect is empty"
    if not service:
        for field in ("ServiceSubset", "Namespace"):
            if text(redirect, field):
                return f"Redirect.{field} defined without Redirect.Service"
    elif service == name and subset and subset not in subsets:
        return f"Redirect.ServiceSubset {quote(subset)} is not a valid subset of {quote(service)}"
    return ""


def _failover_fault(name: str, settings: Settings, subsets: Collection[str]) -> str:
    for key, found in mapping(settings, "Failover").items():
        failover = found or {}
        bad = f"Bad Failover[{quote(key)}]"
        service, subset = text(failover, "Service"), text(failover, "ServiceSubset")
        if key != WILDCARD and key not in subsets:
            return f"{bad}: not a valid subset"
        if not any(failover.values()):
            return f"{bad} one of Service, ServiceSubset, Namespace, or Datacenters is required"
        if subset and service in ("", name) and subset not in subsets:
            return f"{bad}.ServiceSubset {quote(subset)} is not a valid subset of {quote(service)}"
        if "" in texts(failover, "Datacenters"):
            return f"{bad}.Datacenters: found empty datacenter"
    return ""


def _load_balancer_fault(balancer: Settings) -> str:
    policy = text(balancer, "Policy")
    bad = "Bad LoadBalancer configuration"
    if policy not in _POLICIES:
        return f"Bad LoadBalancer policy: {quote(policy)} is not supported"
    for field, needed in (("RingHashConfig", "ring_hash"), ("LeastRequestConfig", "least_request")):
        if balancer.get(field) is not None and policy != needed:
            return f"{bad}. {field} specified for incompatible load balancing policy {quote(policy)}"
    if balancer.get("HashPolicies") and policy not in _HASH_BASED:
        return f"{bad}: HashPolicies specified for non-hash-based Policy: {quote(policy)}"
    for at, hash_policy in enumerate(records(balancer, "HashPolicies")):
        fault = _hash_policy_fault(hash_policy)
        if fault:
            return f"Bad LoadBalancer HashPolicy[{at}]: {fault}"
    return ""


def _hash_policy_fault(policy: Settings) -> str:
    field, value, by_source = text(policy, "Field"), text(policy, "FieldValue"), bool(policy.get("SourceIP"))
    if field and field not in _HASHED_FIELDS:
        return f"{quote(field)} is not a supported field"
    if by_source and field:
        return f"A single hash policy cannot hash both a source address and a {quote(field)}"
    if by_source and value:
        return "A FieldValue cannot be specified when hashing SourceIP"
    if field and not value:
        return f"Field {quote(field)} was specified without a FieldValue"
    if value and not field:
        return "FieldValue requires a Field to apply to"
    if policy.get("CookieConfig") is not None:
        cookie = mapping(policy, "CookieConfig")
        if field != "cookie":
            return f"cookie_config provided for {quote(field)}"
        if cookie.get("Session") and number(cookie, "TTL"):
            return "a session cookie cannot have an associated TTL"
    return ""
