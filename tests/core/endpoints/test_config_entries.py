"""`ConfigEntry.*`: writes one after the other, check-and-set, and who is woken."""

from __future__ import annotations

import asyncio

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.config_entry import (
    ConfigEntry,
    ConfigEntryOp,
    ConfigEntryQuery,
    ConfigEntryRequest,
)
from consul_kernel.structs.methods import (
    CONFIG_ENTRY_APPLY,
    CONFIG_ENTRY_DELETE,
    CONFIG_ENTRY_GET,
    CONFIG_ENTRY_LIST,
)
from core.endpoints.harness import SECOND_NS, Endpoints

DEFAULTS = "service-defaults"


async def put(
    endpoints: Endpoints, name: str = "web", kind: str = DEFAULTS, *, cas: int | None = None, **settings: object
) -> bool:
    entry = ConfigEntry(kind=kind, name=name, settings=settings, modify_index=cas or 0)
    op = ConfigEntryOp.UPSERT if cas is None else ConfigEntryOp.UPSERT_CAS
    return await endpoints.call(CONFIG_ENTRY_APPLY, ConfigEntryRequest(op=op, entry=entry))


async def delete(endpoints: Endpoints, name: str = "web", kind: str = DEFAULTS) -> None:
    await endpoints.call(CONFIG_ENTRY_DELETE, ConfigEntryRequest(entry=ConfigEntry(kind=kind, name=name)))


async def get(endpoints: Endpoints, name: str = "web", kind: str = DEFAULTS) -> ConfigEntry | None:
    return (await endpoints.call(CONFIG_ENTRY_GET, ConfigEntryQuery(kind=kind, name=name))).entry


async def names(endpoints: Endpoints, kind: str = "") -> list[str]:
    reply = await endpoints.call(CONFIG_ENTRY_LIST, ConfigEntryQuery(kind=kind))
    assert reply.index == max(endpoints.state.applied_index, 1)
    return [f"{entry.kind}/{entry.name}" for entry in reply.entries or ()]


async def test_writing_reading_and_deleting(endpoints: Endpoints) -> None:
    assert await names(endpoints) == []
    assert await put(endpoints, Protocol="HTTP") is True
    created = endpoints.state.applied_index
    await put(endpoints, Protocol="grpc")
    entry = await get(endpoints, "WEB")
    assert entry is not None
    assert (entry.settings["Protocol"], entry.create_index, entry.modify_index) == ("grpc", created, created + 1)
    await put(endpoints, "db")
    await put(endpoints, "any", "proxy-defaults", Config={"a": 1})
    assert await names(endpoints, DEFAULTS) == ["service-defaults/db", "service-defaults/web"]
    assert await names(endpoints) == ["proxy-defaults/global", "service-defaults/db", "service-defaults/web"]
    await delete(endpoints, "anything", "proxy-defaults")
    await delete(endpoints)
    await delete(endpoints, "never there")
    assert (await get(endpoints), await get(endpoints, "global", "proxy-defaults")) == (None, None)


async def test_check_and_set(endpoints: Endpoints) -> None:
    assert await put(endpoints, cas=5) is False
    assert await put(endpoints, cas=0) is True
    index = endpoints.state.applied_index
    assert await put(endpoints, cas=0) is False
    assert await put(endpoints, cas=index, Protocol="http") is True
    assert await put(endpoints, cas=index) is False
    entry = await get(endpoints)
    assert entry is not None
    assert entry.settings == {"Protocol": "http"}


async def test_what_is_refused(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match=r"^invalid config entry kind: odd$"):
        await put(endpoints, kind="odd")
    with pytest.raises(RpcError, match=r"^invalid config entry kind: odd$"):
        await delete(endpoints, kind="odd")
    with pytest.raises(RpcError, match=r"^invalid config entry kind: odd$"):
        await get(endpoints, kind="odd")
    with pytest.raises(RpcError, match=r"^invalid config entry kind: odd$"):
        await names(endpoints, "odd")
    with pytest.raises(RpcError, match=r"^Name is required$"):
        await put(endpoints, "")
    with pytest.raises(RpcError, match="Protocol"):
        await put(endpoints, Protocol=[{"odd": 1}])
    with pytest.raises(RpcError, match="does not permit advanced routing"):
        await put(endpoints, kind="service-router", Routes=[])
    assert endpoints.consensus.proposals == []


async def test_writes_that_do_not_fit_together_do_not_meet(endpoints: Endpoints) -> None:
    """Each would be right by itself: one takes away what the other needs."""
    await put(endpoints, Protocol="http")
    propose = endpoints.consensus.propose

    async def slowly(command: bytes, *, timeout_ms: int) -> object:
        await asyncio.sleep(0)
        return await propose(command, timeout_ms=timeout_ms)

    endpoints.consensus.propose = slowly  # type: ignore[method-assign]
    routed = put(endpoints, kind="service-router", Routes=[])
    results = await asyncio.gather(routed, delete(endpoints), return_exceptions=True)
    assert results[0] is True
    assert isinstance(results[1], RpcError)
    assert await names(endpoints) == ["service-defaults/web", "service-router/web"]


async def test_reads_wait_for_what_they_read(endpoints: Endpoints) -> None:
    await put(endpoints)
    index = endpoints.state.applied_index
    one = ConfigEntryQuery(kind=DEFAULTS, name="web", min_query_index=index, max_query_time=60 * SECOND_NS)
    kind = ConfigEntryQuery(kind=DEFAULTS, min_query_index=index, max_query_time=60 * SECOND_NS)
    async with endpoints.blocked(CONFIG_ENTRY_GET, one) as reading:
        async with endpoints.blocked(CONFIG_ENTRY_LIST, kind) as listing:
            await put(endpoints, "global", "proxy-defaults")
            assert not listing.done()
            await put(endpoints, "db")
            assert len((await listing).entries or ()) == 2
        assert not reading.done()
        await put(endpoints, Protocol="http")
        assert (await reading).index == endpoints.state.applied_index
