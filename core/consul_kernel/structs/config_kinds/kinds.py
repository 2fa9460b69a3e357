"""Every kind of entry with its fields, in Go's order."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError

from .schema import Field, Fields, ListOf, MapOf, Optional, Scalar

SERVICE_DEFAULTS = "service-defaults"
PROXY_DEFAULTS = "proxy-defaults"
SERVICE_ROUTER = "service-router"
SERVICE_SPLITTER = "service-splitter"
SERVICE_RESOLVER = "service-resolver"
INGRESS_GATEWAY = "ingress-gateway"
TERMINATING_GATEWAY = "terminating-gateway"
SERVICE_INTENTIONS = "service-intentions"
MESH = "mesh"

_TEXT, _BOOL, _INT = Scalar.TEXT, Scalar.BOOL, Scalar.INTEGER
_TEXTS = ListOf(_TEXT)
_META = Field("Meta", MapOf(_TEXT))
_KIND, _NAME = Field("Kind", _TEXT, omits_empty=False), Field("Name", _TEXT, omits_empty=False)


def _texts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, _TEXT) for name in names)


_MESH_GATEWAY = Fields("MeshGatewayConfig", _texts("Mode"))
_EXPOSE_PATH = Fields(
    "ExposePath",
    (
        Field("ListenerPort", _INT),
        Field("Path", _TEXT),
        Field("LocalPathPort", _INT),
        Field("Protocol", _TEXT),
        Field("ParsedFromCheck", _BOOL),
    ),
)
_EXPOSE = Fields("ExposeConfig", (Field("Checks", _BOOL), Field("Paths", ListOf(_EXPOSE_PATH))))
_TRANSPARENT_PROXY = Fields(
    "TransparentProxyConfig", (Field("OutboundListenerPort", _INT), Field("DialedDirectly", _BOOL))
)
_PROXY_FIELDS = (
    Field("Mode", _TEXT),
    Field("TransparentProxy", _TRANSPARENT_PROXY),
    Field("MeshGateway", _MESH_GATEWAY),
    Field("Expose", _EXPOSE),
)
_LIMITS = Fields(
    "UpstreamLimits",
    tuple(Field(name, Optional(_INT)) for name in ("MaxConnections", "MaxPendingRequests", "MaxConcurrentRequests")),
)
_PASSIVE_HEALTH_CHECK = Fields(
    "PassiveHealthCheck", (Field("Interval", Scalar.NANOSECONDS), Field("MaxFailures", _INT))
)
_UPSTREAM = Fields(
    "UpstreamConfig",
    (
        *_texts("Name", "EnvoyListenerJSON", "EnvoyClusterJSON", "Protocol"),
        Field("ConnectTimeoutMs", _INT),
        Field("Limits", Optional(_LIMITS)),
        Field("PassiveHealthCheck", Optional(_PASSIVE_HEALTH_CHECK)),
        Field("MeshGateway", _MESH_GATEWAY),
    ),
)
_UPSTREAMS = Fields(
    "UpstreamConfiguration",
    (Field("Overrides", ListOf(Optional(_UPSTREAM))), Field("Defaults", Optional(_UPSTREAM))),
)
_HEADER_TESTS = (_NAME, Field("Present", _BOOL), *_texts("Exact", "Prefix", "Suffix", "Regex"), Field("Invert", _BOOL))
_HTTP_MATCH = Fields(
    "ServiceRouteHTTPMatch",
    (
        *_texts("PathExact", "PathPrefix", "PathRegex"),
        Field("Header", ListOf(Fields("ServiceRouteHTTPMatchHeader", _HEADER_TESTS))),
        Field(
            "QueryParam",
            ListOf(
                Fields("ServiceRouteHTTPMatchQueryParam", (_NAME, Field("Present", _BOOL), *_texts("Exact", "Regex")))
            ),
        ),
        Field("Methods", _TEXTS),
    ),
)
_ROUTE_DESTINATION = Fields(
    "ServiceRouteDestination",
    (
        Field("RequestTimeout", Scalar.DURATION),
        *_texts("Service", "ServiceSubset", "Namespace", "PrefixRewrite"),
        Field("NumRetries", _INT),
        Field("RetryOnConnectFailure", _BOOL),
        Field("RetryOnStatusCodes", ListOf(_INT)),
    ),
)
_ROUTE = Fields(
    "ServiceRoute",
    (
        Field("Match", Optional(Fields("ServiceRouteMatch", (Field("HTTP", Optional(_HTTP_MATCH)),)))),
        Field("Destination", Optional(_ROUTE_DESTINATION)),
    ),
)
_SPLIT = Fields(
    "ServiceSplit",
    (Field("Weight", Scalar.NUMBER, omits_empty=False), *_texts("Service", "ServiceSubset", "Namespace")),
)
_COOKIE = Fields("CookieConfig", (Field("Session", _BOOL), Field("TTL", Scalar.NANOSECONDS), Field("Path", _TEXT)))
_HASH_POLICY = Fields(
    "HashPolicy",
    (
        *_texts("Field", "FieldValue"),
        Field("CookieConfig", Optional(_COOKIE)),
        Field("SourceIP", _BOOL),
        Field("Terminal", _BOOL),
    ),
)
_RING = Fields("RingHashConfig", (Field("MinimumRingSize", _INT), Field("MaximumRingSize", _INT)))
_LOAD_BALANCER = Fields(
    "LoadBalancer",
    (
        Field("Policy", _TEXT),
        Field("RingHashConfig", Optional(_RING)),
        Field("LeastRequestConfig", Optional(Fields("LeastRequestConfig", (Field("ChoiceCount", _INT),)))),
        Field("HashPolicies", ListOf(_HASH_POLICY)),
    ),
)
_SUBSET = Fields("ServiceResolverSubset", (Field("Filter", _TEXT), Field("OnlyPassing", _BOOL)))
_REDIRECT = Fields("ServiceResolverRedirect", _texts("Service", "ServiceSubset", "Namespace", "Datacenter"))
_FAILOVER = Fields(
    "ServiceResolverFailover", (*_texts("Service", "ServiceSubset", "Namespace"), Field("Datacenters", _TEXTS))
)
_LISTENER = Fields(
    "IngressListener",
    (
        Field("Port", _INT, omits_empty=False),
        Field("Protocol", _TEXT, omits_empty=False),
        Field(
            "Services",
            ListOf(Fields("IngressService", (_NAME, Field("Hosts", _TEXTS, omits_empty=False), _META))),
            omits_empty=False,
        ),
    ),
)
_LINKED_SERVICE = Fields("LinkedService", _texts("Name", "CAFile", "CertFile", "KeyFile", "SNI"))
_HTTP_PERMISSION = Fields(
    "IntentionHTTPPermission",
    (
        *_texts("PathExact", "PathPrefix", "PathRegex"),
        Field("Header", ListOf(Fields("IntentionHTTPHeaderPermission", _HEADER_TESTS))),
        Field("Methods", _TEXTS),
    ),
)
_PERMISSION = Fields(
    "IntentionPermission", (Field("Action", _TEXT, omits_empty=False), Field("HTTP", Optional(_HTTP_PERMISSION)))
)
_SOURCE = Fields(
    "SourceIntention",
    (
        _NAME,
        Field("Action", _TEXT),
        Field("Permissions", ListOf(Optional(_PERMISSION))),
        Field("Precedence", _INT, omits_empty=False),
        Field("LegacyID", _TEXT),
        Field("Type", _TEXT, omits_empty=False),
        Field("Description", _TEXT),
        Field("LegacyMeta", MapOf(_TEXT)),
        *_texts("LegacyCreateTime", "LegacyUpdateTime"),
    ),
)
_MESH_PROXY = Fields("TransparentProxyMeshConfig", (Field("MeshDestinationsOnly", _BOOL, omits_empty=False),))


def _kind(name: str, *fields: Field) -> Fields:
    return Fields(name, (_KIND, _NAME, *fields, _META))


KINDS: dict[str, Fields] = {
    SERVICE_DEFAULTS: _kind(
        "ServiceConfigEntry",
        Field("Protocol", _TEXT, omits_empty=False),
        *_PROXY_FIELDS,
        Field("ExternalSNI", _TEXT),
        Field("UpstreamConfig", Optional(_UPSTREAMS)),
    ),
    PROXY_DEFAULTS: _kind(
        "ProxyConfigEntry", Field("Config", MapOf(Scalar.ANYTHING), omits_empty=False), *_PROXY_FIELDS
    ),
    SERVICE_ROUTER: _kind("ServiceRouterConfigEntry", Field("Routes", ListOf(_ROUTE), omits_empty=False)),
    SERVICE_SPLITTER: _kind("ServiceSplitterConfigEntry", Field("Splits", ListOf(_SPLIT), omits_empty=False)),
    SERVICE_RESOLVER: _kind(
        "ServiceResolverConfigEntry",
        Field("ConnectTimeout", Scalar.DURATION),
        Field("DefaultSubset", _TEXT),
        Field("Subsets", MapOf(_SUBSET)),
        Field("Redirect", Optional(_REDIRECT)),
        Field("Failover", MapOf(_FAILOVER)),
        Field("LoadBalancer", Optional(_LOAD_BALANCER)),
    ),
    INGRESS_GATEWAY: _kind(
        "IngressGatewayConfigEntry",
        Field("TLS", Fields("GatewayTLSConfig", (Field("Enabled", _BOOL, omits_empty=False),)), omits_empty=False),
        Field("Listeners", ListOf(_LISTENER), omits_empty=False),
    ),
    TERMINATING_GATEWAY: _kind(
        "TerminatingGatewayConfigEntry", Field("Services", ListOf(_LINKED_SERVICE), omits_empty=False)
    ),
    SERVICE_INTENTIONS: _kind(
        "ServiceIntentionsConfigEntry", Field("Sources", ListOf(Optional(_SOURCE)), omits_empty=False)
    ),
    MESH: Fields("MeshConfigEntry", (_KIND, Field("TransparentProxy", _MESH_PROXY, omits_empty=False), _META)),
}
"""By the name of the kind. Of mesh there is one entry, which has no name of its own."""


def require_kind(kind: str) -> Fields:
    """The fields of a kind. RequestError with Consul's text where there is no such kind."""
    fields = KINDS.get(kind)
    if fields is None:
        raise RequestError(f"invalid config entry kind: {kind}")
    return fields
