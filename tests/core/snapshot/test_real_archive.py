"""A real Consul's archive: everything in it is restored, shown as that Consul showed it, and written again."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from consul_kernel.contracts.consensus import Configuration
from consul_kernel.snapshot.decoding import decode_any
from consul_kernel.snapshot.loading import Loader
from consul_kernel.snapshot.records import HEADER, RecordType
from consul_kernel.snapshot.restorer import receive, restore
from consul_kernel.snapshot.saver import save_state
from consul_kernel.snapshot.saving import state_records
from consul_kernel.state import CommandType, ReplicatedState, encode_command
from consul_kernel.state.autopilot import autopilot_config
from consul_kernel.state.config_entries import config_entries
from consul_kernel.state.coordinates import coordinates
from consul_kernel.state.prepared_queries import queries, queries_by_name
from consul_kernel.state.restore import RestoreRequest
from consul_kernel.state.sessions import sessions, sessions_by_check, sessions_by_node
from consul_kernel.state.tombstones import scan_tombstones
from consul_kernel.state.unserved import unserved_kinds
from consul_kernel.structs.duration import format_duration_ns
from consul_kernel_http.views.check import check_view
from consul_kernel_http.views.node import node_view
from consul_kernel_http.views.service import service_node_view
from consul_kernel_memory.store import MemoryStore
from core.snapshot.archives import REAL, real_answers, records_of, unpack

ANSWERS: dict[str, Any] = real_answers()


async def load() -> tuple[ReplicatedState, Loader]:
    state = ReplicatedState(MemoryStore().state)

    async def propose(request: RestoreRequest) -> object:
        (result,) = state.apply([(state.applied_index + 1, encode_command(CommandType.RESTORE, request))])
        assert result is True
        return result

    async def pieces() -> Any:
        for at in range(0, len(REAL), 500):
            yield REAL[at : at + 500]

    received = await receive(pieces(), spool_folder=None)
    try:
        return state, await restore(received, propose)
    finally:
        await received.aclose()


@pytest.fixture
async def state() -> ReplicatedState:
    return (await load())[0]


def shown(record: Any) -> Any:
    """A record as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(record))


def test_keys_and_locks(state: ReplicatedState) -> None:
    index, entries = state.kv.entries(b"")
    assert index == 222
    assert len(entries) == 205
    for entry, told in zip(entries, ANSWERS["/v1/kv/?recurse"], strict=True):
        assert entry.key.decode() == told["Key"]
        assert (entry.value or b"") == base64.b64decode(told["Value"] or "")
        assert (entry.flags, entry.lock_index) == (told["Flags"], told["LockIndex"])
        assert (entry.create_index, entry.modify_index) == (told["CreateIndex"], told["ModifyIndex"])
        assert entry.session == told.get("Session", "")
    held = [entry for entry in entries if entry.session]
    assert [(entry.key, entry.lock_index) for entry in held] == [(b"locked", 1)]
    assert [key for _, key in state.reader.range("kvs.session")] == [b"locked"]
    assert list(scan_tombstones(state.reader)) == [(b"gone", 213)]


def test_the_catalog(state: ReplicatedState) -> None:
    catalog = state.catalog
    index, nodes = catalog.nodes()
    assert index == 218
    assert [shown(node_view(node)) for node in nodes] == ANSWERS["/v1/catalog/nodes"]
    assert {name: sorted(tags) for name, tags in catalog.services()[1].items()} == {
        name: sorted(tags) for name, tags in ANSWERS["/v1/catalog/services"].items()
    }
    for name in ("web", "local"):
        found = [shown(service_node_view(service)) for service in catalog.service_nodes(name)[1]]
        told = ANSWERS[f"/v1/catalog/service/{name}"]
        assert [{**each, "NodeMeta": each["NodeMeta"] or {}} for each in found] == [
            {**each, "NodeMeta": each["NodeMeta"] or {}} for each in told
        ]
    checks = [shown(check_view(check)) for check in catalog.checks_in_state("any")[1]]
    by_check = sorted(ANSWERS["/v1/health/state/any"], key=lambda check: (check["Node"], check["CheckID"]))
    assert checks == by_check
    assert catalog.find_node("bb9381da-c6ee-459f-fda7-714c48321c48") is not None
    assert catalog.check_service_nodes("web")[0] == 218


def test_sessions(state: ReplicatedState) -> None:
    found = {session.id: session for _, session in sessions.scan(state.reader)}
    told = {session["ID"]: session for session in ANSWERS["/v1/session/list"]}
    assert found.keys() == told.keys()
    for session_id, session in found.items():
        fields = shown(session)
        del fields["Checks"]
        assert fields == told[session_id]
    assert len(list(sessions_by_node.scan(state.reader, b""))) == 2
    assert len(list(sessions_by_check.scan(state.reader, b""))) == 2


def test_prepared_queries(state: ReplicatedState) -> None:
    assert [shown(query) for _, query in queries.scan(state.reader)] == ANSWERS["/v1/query"]
    assert len(list(queries_by_name.scan(state.reader, b""))) == 1


def test_configuration_entries(state: ReplicatedState) -> None:
    for _, entry in config_entries.scan(state.reader):
        (told,) = ANSWERS[f"/v1/config/{entry.kind}"]
        assert (entry.name, entry.create_index, entry.modify_index) == (
            told["Name"],
            told["CreateIndex"],
            told["ModifyIndex"],
        )
        settings = told.keys() - {"Kind", "Name", "CreateIndex", "ModifyIndex"}
        for name in settings:
            assert told[name] in (entry.settings[name], {}), name
    assert len(list(config_entries.scan(state.reader))) == 2


def test_autopilot_and_coordinates(state: ReplicatedState) -> None:
    config = autopilot_config(state.reader)
    told = dict(ANSWERS["/v1/operator/autopilot/configuration"])
    fields = shown(config)
    for name in ("LastContactThreshold", "ServerStabilizationTime"):
        fields[name] = format_duration_ns(fields[name])
    assert fields == told
    assert [shown(each) for _, each in coordinates.scan(state.reader)] == ANSWERS["/v1/coordinate/nodes"]


async def test_what_nothing_serves_is_kept_and_told() -> None:
    state, loaded = await load()
    assert loaded.unserved_names() == ["FederationState (1)"]
    assert unserved_kinds(state.reader) == [RecordType.FEDERATION_STATE]
    assert loaded.counts.total() == 255


def test_later_writes_have_later_indexes(state: ReplicatedState) -> None:
    assert state.index == 229
    assert state.applied_index < 10


async def test_it_is_written_again_as_it_came(state: ReplicatedState) -> None:
    """Octet by octet, but for the order of users' maps, which Go chooses by chance, and the index of the header."""
    _, original = unpack(REAL)
    written = b"".join(state_records(state.reader, 228))
    assert len(written) == len(original)
    pairs = list(zip(records_of(original), records_of(written), strict=True))
    assert [before[0] for before, _ in pairs] == [after[0] for _, after in pairs]
    differing = [(before, after) for before, after in pairs if before != after]
    assert {before[0] for before, _ in differing} <= {RecordType.REGISTER}
    for (_, before), (_, after) in differing:
        assert decode_any(before) == decode_any(after)
    assert pairs[0][0][0] == HEADER


async def test_what_is_saved_of_it_is_restored_to_the_same(state: ReplicatedState) -> None:
    saved = await save_state(state, term=3, configuration=Configuration(), spool_folder=None)
    archive = b"".join([piece async for piece in saved.pieces()])
    await saved.aclose()
    meta, again = unpack(archive)
    assert (meta.index, meta.term) == (229, 3)
    loader = Loader()
    for kind, record in records_of(again):
        loader.add(kind, record)
    loader.finish()
    rows = {table: list(zip(pairs[::2], pairs[1::2], strict=True)) for table, pairs in loader.take().items()}
    for table, pairs in rows.items():
        assert sorted(pairs) == list(state.reader.range(table)), table
