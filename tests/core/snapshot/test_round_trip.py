"""Whatever a state holds goes into an archive and comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consul_kernel.snapshot.archive import ArchiveError
from consul_kernel.snapshot.encoding import encode_record, encode_value
from consul_kernel.snapshot.loading import Loader
from consul_kernel.snapshot.mesh import encode_config_entry
from consul_kernel.snapshot.records import RecordType
from consul_kernel.snapshot.saving import state_records
from consul_kernel.state import CommandType, ReplicatedState, encode_command
from consul_kernel.state.restore import RestoreOp, RestoreRequest
from consul_kernel.structs.autopilot import AutopilotConfig
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck, HealthCheckDefinition
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.coordinate import Coordinate, NodeCoordinate
from consul_kernel.structs.kv import DirEntry
from consul_kernel.structs.prepared_query import PreparedQuery, QueryFailover, ServiceQuery
from consul_kernel.structs.service import NodeService, ServiceAddress, ServiceConnect, Weights
from consul_kernel.structs.session import ServiceCheck, Session
from consul_kernel_memory.store import MemoryStore
from core.snapshot.archives import records_of
from core.state.driver import StateDriver
from core.state.test_machine import busy, index_tables_agree

NOT_IN_ARCHIVES = ("meta", "machine", "restore", "tombstones.horizon", "tombstones.trees")
NAME = st.text(alphabet="aAbß\x00\u0130-.é", min_size=1, max_size=4)
TEXT = st.text(max_size=6)
INDEX = st.integers(1, 1 << 40)
MAP = st.none() | st.dictionaries(TEXT, TEXT, max_size=3)
TEXTS = st.none() | st.lists(TEXT, max_size=3)


def load(state: bytes) -> tuple[Loader, dict[str, list[bytes]]]:
    loader = Loader()
    for kind, record in records_of(state):
        loader.add(kind, record)
    loader.finish()
    return loader, loader.take()


def rows_of(rows: dict[str, list[bytes]]) -> dict[str, list[tuple[bytes, bytes]]]:
    """As a store would have them: in order, the last of each key."""
    return {
        table: sorted(dict(zip(pairs[::2], pairs[1::2], strict=True)).items()) for table, pairs in rows.items() if pairs
    }


def save(state: ReplicatedState) -> bytes:
    frozen = state.freeze()
    try:
        return b"".join(state_records(frozen.reader, frozen.index))
    finally:
        frozen.close()


def restored(rows: dict[str, list[bytes]], index: int) -> StateDriver:
    driver = StateDriver(MemoryStore().state)
    for request in (
        RestoreRequest(op=RestoreOp.BEGIN, id="r"),
        RestoreRequest(op=RestoreOp.ROWS, id="r", rows=rows),
        RestoreRequest(op=RestoreOp.COMMIT, id="r", number=1, index=index),
    ):
        assert driver.apply(CommandType.RESTORE, request) is True
    return driver


@pytest.mark.parametrize("seed", range(6))
def test_a_busy_state_comes_back(driver: StateDriver, seed: int) -> None:
    busy(driver, seed)
    before = {table: pairs for table, pairs in driver.dump().items() if table not in NOT_IN_ARCHIVES}
    archived = save(driver.state)
    _, rows = load(archived)
    assert rows_of(rows) == before
    other = restored(rows, driver.index)
    index_tables_agree(other)
    assert save(other.state)[20:] == archived[20:]
    for name in ("s0", "s1", "s2"):
        assert other.state.catalog.check_service_nodes(name) == driver.state.catalog.check_service_nodes(name)
    assert busy(other, seed + 100, 50).state.index > driver.index


@pytest.fixture
def driver() -> StateDriver:
    return StateDriver(MemoryStore().state)


SERVICE = st.builds(
    NodeService,
    kind=st.sampled_from(["", "connect-proxy"]),
    id=NAME,
    service=NAME,
    tags=TEXTS,
    address=TEXT,
    tagged_addresses=st.none() | st.dictionaries(TEXT, st.builds(ServiceAddress, address=TEXT, port=INDEX), max_size=2),
    meta=MAP,
    port=st.integers(0, 65535),
    socket_path=TEXT,
    weights=st.builds(Weights, passing=st.integers(1, 99), warning=st.integers(0, 99)),
    enable_tag_override=st.booleans(),
    proxy=st.none()
    | st.dictionaries(TEXT, st.just({"Port": 1}) | st.just([1, "two", None, 3.5]), min_size=1, max_size=3),
    connect=st.builds(ServiceConnect, native=st.booleans()),
    create_index=INDEX,
    modify_index=INDEX,
)
CHECK = st.builds(
    HealthCheck,
    check_id=NAME,
    name=TEXT,
    status=st.sampled_from(["passing", "critical"]),
    output=TEXT,
    service_id=TEXT,
    service_name=TEXT,
    service_tags=TEXTS,
    definition=st.builds(HealthCheckDefinition, http=TEXT, header=st.none() | st.just({"X": ["a", "b"]}), ttl=INDEX),
    create_index=INDEX,
    modify_index=INDEX,
)


@settings(max_examples=60)
@given(
    node=NAME,
    meta=MAP,
    services=st.lists(SERVICE, max_size=2, unique_by=lambda service: service.id.lower()),
    checks=st.lists(CHECK, max_size=2, unique_by=lambda check: check.check_id.lower()),
    index=INDEX,
)
def test_any_registration_comes_back(
    node: str, meta: dict[str, str] | None, services: list[NodeService], checks: list[HealthCheck], index: int
) -> None:
    for check in checks:
        check.node = node
    alone = RegisterRequest(node=node, id="aa-" + node, address="::1", node_meta=meta, create_index=index)
    requests = [
        alone,
        *(replace(alone, service=each) for each in services),
        *(replace(alone, check=each) for each in checks),
    ]
    state = encode_value({"LastIndex": 7}) + b"".join(encode_record(RecordType.REGISTER, each) for each in requests)
    _, rows = load(state)
    driver = restored(rows, index)
    _, again = load(save(driver.state))
    assert rows_of(again) == rows_of(rows)
    found = driver.state.catalog.find_node(node)
    assert found is not None
    assert found[1].meta == meta


OTHER = st.one_of(
    st.tuples(
        st.just(RecordType.SESSION),
        st.builds(
            Session,
            id=NAME,
            node=NAME,
            lock_delay=INDEX,
            node_checks=TEXTS,
            checks=TEXTS,
            service_checks=st.none() | st.lists(st.builds(ServiceCheck, id=TEXT, namespace=TEXT), max_size=2),
            create_index=INDEX,
        ),
    ),
    st.tuples(
        st.just(RecordType.PREPARED_QUERY),
        st.builds(
            PreparedQuery,
            id=NAME,
            name=TEXT,
            session=TEXT,
            service=st.builds(
                ServiceQuery,
                service=TEXT,
                tags=TEXTS,
                ignore_check_ids=TEXTS,
                node_meta=MAP,
                failover=st.builds(QueryFailover, nearest_n=st.integers(0, 9), datacenters=TEXTS),
            ),
            modify_index=INDEX,
        ),
    ),
    st.tuples(
        st.just(RecordType.COORDINATE_BATCH_UPDATE),
        st.lists(
            st.builds(
                NodeCoordinate,
                node=NAME,
                segment=TEXT,
                coord=st.builds(Coordinate, vec=st.lists(st.floats(allow_nan=False), max_size=8)),
            ),
            min_size=1,
            max_size=1,
        ),
    ),
    st.tuples(st.just(RecordType.AUTOPILOT), st.builds(AutopilotConfig, min_quorum=st.integers(0, 99))),
    st.tuples(st.just(RecordType.KVS), st.builds(DirEntry, key=st.binary(min_size=1, max_size=1528), session=TEXT)),
    st.tuples(st.sampled_from([4, 12, 17, 19, 30, 31, 40, 77, 255]), st.binary(max_size=9) | st.just({"A": 1})),
)


def identity(record: tuple[int, Any]) -> object:
    """What may be there once."""
    kind, value = record
    if isinstance(value, Session | PreparedQuery):
        return kind, value.id.lower()
    return (kind, value.key) if isinstance(value, DirEntry) else object()


@settings(max_examples=60)
@given(st.lists(OTHER, max_size=6, unique_by=identity))
def test_any_other_record_comes_back(records: list[tuple[int, Any]]) -> None:
    state = encode_value({"LastIndex": 7}) + b"".join(encode_record(kind, value) for kind, value in records)
    loader, rows = load(state)
    assert loader.counts.total() == len(records)
    _, again = load(save(restored(rows, 7).state))
    first, second = rows_of(rows), rows_of(again)
    # What is only kept has another place, but the same octets in the same order within its type.
    kept = [[(key[:1], record) for key, record in each.pop("unserved", [])] for each in (first, second)]
    assert kept[0] == kept[1]
    assert first == second


def test_settings_of_any_kind_come_back(driver: StateDriver) -> None:
    loader = Loader()
    for kind in ("proxy-defaults", "service-defaults", "service-router"):
        entry = ConfigEntry(
            kind=kind,
            name="global",
            settings={"Config": {"b": 1.5, "a": [1, None, "x"], "raw": b"\xff"}, "Meta": None, "Protocol": "http"},
            create_index=3,
            modify_index=4,
        )
        record = encode_config_entry(entry)
        loader.add(record[0], record[1:])
    rows = loader.take()
    other = restored(rows, 9)
    _, again = load(save(other.state))
    assert again["config_entries"] == rows["config_entries"]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (
            RecordType.REGISTER,
            RegisterRequest(node="n", service=NodeService(id="a", service="one")),
            RegisterRequest(node="N", service=NodeService(id="A", service="two")),
        ),
        (
            RecordType.REGISTER,
            RegisterRequest(node="n", check=HealthCheck(node="n", check_id="c", status="passing")),
            RegisterRequest(node="n", check=HealthCheck(node="n", check_id="C", status="critical")),
        ),
        (RecordType.SESSION, Session(id="s", node="n"), Session(id="S", node="m")),
        (RecordType.PREPARED_QUERY, PreparedQuery(id="q", name="one"), PreparedQuery(id="q", name="two")),
        (RecordType.KVS, DirEntry(key=b"k", session="s"), DirEntry(key=b"k")),
        (RecordType.TOMBSTONE, DirEntry(key=b"k", modify_index=1), DirEntry(key=b"k", modify_index=2)),
    ],
)
def test_what_is_there_twice_is_refused(kind: int, first: Any, second: Any) -> None:
    loader = Loader()
    loader.add(kind, encode_value(first))
    with pytest.raises(ArchiveError, match="is there twice"):
        loader.add(kind, encode_value(second))


def test_a_command_of_a_piece_is_no_larger_than_its_rows_need() -> None:
    rows = {"kvs": [b"k" * 10, b"v" * 100] * 100}
    command = encode_command(CommandType.RESTORE, RestoreRequest(op=RestoreOp.ROWS, id="r" * 36, rows=rows))
    assert len(command) < 11_000 * 1.2
