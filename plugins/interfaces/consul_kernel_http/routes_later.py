"""Consul's routes of ACLs, which this version does not have: they answer what Consul answers without ACLs.

A method that Consul would not take is refused as Consul does it, so that clients which probe by method learn the same.
"""

from __future__ import annotations

from .endpoints import disabled
from .routing import Route

_ACL_METHODS_BY_PATTERN: dict[str, str] = {
    "/v1/acl/auth-method": "PUT",
    "/v1/acl/auth-method/": "GET PUT DELETE",
    "/v1/acl/auth-methods": "GET",
    "/v1/acl/binding-rule": "PUT",
    "/v1/acl/binding-rule/": "GET PUT DELETE",
    "/v1/acl/binding-rules": "GET",
    "/v1/acl/bootstrap": "PUT",
    "/v1/acl/clone/": "PUT",
    "/v1/acl/create": "PUT",
    "/v1/acl/destroy/": "PUT",
    "/v1/acl/info/": "GET",
    "/v1/acl/list": "GET",
    "/v1/acl/login": "POST",
    "/v1/acl/logout": "POST",
    "/v1/acl/policies": "GET",
    "/v1/acl/policy": "PUT",
    "/v1/acl/policy/": "GET PUT DELETE",
    "/v1/acl/policy/name/": "GET",
    "/v1/acl/replication": "GET",
    "/v1/acl/role": "PUT",
    "/v1/acl/role/": "GET PUT DELETE",
    "/v1/acl/role/name/": "GET",
    "/v1/acl/roles": "GET",
    "/v1/acl/rules/translate": "POST",
    "/v1/acl/rules/translate/": "GET",
    "/v1/acl/token": "PUT",
    "/v1/acl/token/": "GET PUT DELETE",
    "/v1/acl/token/self": "GET",
    "/v1/acl/tokens": "GET",
    "/v1/acl/update": "PUT",
    "/v1/internal/acl/authorize": "POST",
}

ROUTES_LATER = tuple(
    Route(pattern, dict.fromkeys(methods.split(), disabled.acl)) for pattern, methods in _ACL_METHODS_BY_PATTERN.items()
)
