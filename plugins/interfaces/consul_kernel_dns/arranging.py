"""Asking those who have a say in answers (docs/contracts/dns_answer.md)."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.dns_answer import Arrangement, Candidate, DnsAnswers, Lookup
from consul_kernel.structs.health import CheckServiceNode

from .naming import QueryName, ServiceRead
from .query import Query
from .wire import RecordType


def arrange_service(
    answers: DnsAnswers, query: Query, read: ServiceRead, shown: Sequence[CheckServiceNode], asker: str
) -> Arrangement:
    """The tiers of an answer about a service, of which these instances are well."""
    return _arrange(answers, query, shown, asker, datacenter=read.datacenter, service=read.service, tag=read.tag)


def arrange_prepared(
    answers: DnsAnswers, query: Query, name: QueryName, shown: Sequence[CheckServiceNode], asker: str
) -> Arrangement:
    """The same for a prepared query, which has found these instances."""
    return _arrange(answers, query, shown, asker, datacenter=name.datacenter, prepared=name.name)


def _arrange(
    answers: DnsAnswers,
    query: Query,
    shown: Sequence[CheckServiceNode],
    asker: str,
    *,
    datacenter: str,
    service: str = "",
    tag: str = "",
    prepared: str = "",
) -> Arrangement:
    """By default all in one tier, without asking anybody."""
    if answers.is_default:
        return Arrangement([[Candidate(instance) for instance in shown]] if shown else [])
    lookup = Lookup(
        name=".".join(query.labels),
        record_type=type_name(query.type),
        datacenter=datacenter,
        service=service,
        tag=tag,
        query=prepared,
        asker=asker,
    )
    return answers.arrange(lookup, shown)


def type_name(record_type: int) -> str:
    """`A`, or `TYPE65` for a type that has no name here (RFC 3597 section 5)."""
    try:
        return RecordType(record_type).name
    except ValueError:
        return f"TYPE{record_type}"
