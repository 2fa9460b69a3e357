"""What reads and writes have in common: options, and what a reply says of itself."""

from __future__ import annotations

from msgspec import field

from .record import Record


class DatacenterRequest(Record, kw_only=True):
    """Anything that is asked of a datacenter; "" is the local one. Writes carry only this and a token."""

    datacenter: str = ""
    token: str = ""


class QueryOptions(DatacenterRequest, kw_only=True):
    """Base of every read. Durations are nanoseconds (Consul's `structs.QueryOptions`).

    `min_query_index` > 0 makes it a blocking query: the answer waits until the index of what was read is
    higher, at most `max_query_time` (0: 300 s; cap 600 s) plus up to a sixteenth of it at random.
    """

    min_query_index: int = 0
    max_query_time: int = 0
    allow_stale: bool = False
    require_consistent: bool = False
    use_cache: bool = False
    max_stale_duration: int = 0
    max_age: int = 0
    must_revalidate: bool = False
    stale_if_error: int = 0
    filter: str = ""
    allow_not_modified_response: bool = False


class QueryMeta(Record, kw_only=True):
    """What every reply to a read says of itself. `last_contact` is nanoseconds."""

    index: int = 0
    last_contact: int = 0
    known_leader: bool = False
    consistency_level: str = ""
    not_modified: bool = False
    backend: int = 0


class QuerySource(Record, kw_only=True):
    """From where a `near` query is asked."""

    datacenter: str = ""
    segment: str = ""
    node: str = ""
    ip: str = ""


class DCSpecificRequest(QueryOptions, kw_only=True):
    """A read about a whole datacenter."""

    node_meta_filters: dict[str, str] | None = None
    source: QuerySource = field(default_factory=QuerySource)


class NodeSpecificRequest(QueryOptions, kw_only=True):
    """A read about one node, by name (without regard to case) or id."""

    node: str = ""


class ServiceSpecificRequest(QueryOptions, kw_only=True):
    """A read about one service. `service_tags` must all be there, when `tag_filter` is set."""

    node_meta_filters: dict[str, str] | None = None
    service_name: str = ""
    service_kind: str = ""
    service_tag: str = ""
    service_tags: list[str] | None = None
    service_address: str = ""
    tag_filter: bool = False
    source: QuerySource = field(default_factory=QuerySource)
    connect: bool = False
    ingress: bool = False


class ChecksInStateRequest(QueryOptions, kw_only=True):
    """A read of all checks in one state, or in `any`."""

    node_meta_filters: dict[str, str] | None = None
    state: str = ""
    source: QuerySource = field(default_factory=QuerySource)
