"""Which instances of a service a query is for."""

from __future__ import annotations

from collections.abc import Collection

from consul_kernel.state.catalog import satisfies_meta
from consul_kernel.structs.check import CheckStatus, HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.prepared_query import ServiceQuery


def choose(instances: list[CheckServiceNode], query: ServiceQuery, *, connect: bool) -> list[CheckServiceNode]:
    """Those that are well enough and have the tags and metadata that are asked for. The list may be shared."""
    if query.connect or connect:
        instances = [instance for instance in instances if instance.service.connect.native]
    ignored = frozenset(query.ignore_check_ids or ())
    wanted, unwanted = _split(query.tags or ())
    return [
        instance
        for instance in instances
        if _is_well(instance.checks, ignored, only_passing=query.only_passing)
        and satisfies_meta(instance.node.meta, query.node_meta or {})
        and satisfies_meta(instance.service.meta, query.service_meta or {})
        and _has_tags(instance.service.tags or (), wanted, unwanted)
    ]


def _is_well(checks: list[HealthCheck], ignored: Collection[str], *, only_passing: bool) -> bool:
    for check in checks:
        if check.check_id in ignored:
            continue
        if check.status == CheckStatus.CRITICAL or (only_passing and check.status != CheckStatus.PASSING):
            return False
    return True


def _split(tags: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The tags that must be there and those that must not, in lower case."""
    lowered = [tag.lower() for tag in tags]
    wanted = frozenset(tag for tag in lowered if not tag.startswith("!"))
    return wanted, frozenset(tag[1:] for tag in lowered if tag.startswith("!"))


def _has_tags(tags: Collection[str], wanted: frozenset[str], unwanted: frozenset[str]) -> bool:
    if not wanted and not unwanted:
        return True
    present = {tag.lower() for tag in tags}
    return wanted <= present and not unwanted & present
