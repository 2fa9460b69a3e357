"""The watches of an agent file, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from consul_kernel.agent.watch_handlers import OUTPUT_LIMIT_BYTES, make_handler, run, send, shell_command
from consul_kernel.agent.watches import Watches, _connector
from consul_kernel.structs.watch import HttpHandlerConfig, WatchDefinition
from consul_kernel.watching import progress


class Servers:
    """The services that the catalog has, with blocking queries; and a place that handlers send to."""

    def __init__(self) -> None:
        self.services: dict[str, list[str]] = {}
        self.index = 1
        self.broken = False
        self.changed = asyncio.Event()
        self.asked: list[web.BaseRequest] = []
        self.sent: list[tuple[str, dict[str, str], bytes]] = []
        self.sent_status = 200
        self.waiting = 0

    def change(self, services: dict[str, list[str]]) -> None:
        self.services, self.index = services, self.index + 1
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/sink":
            self.sent.append((request.method, dict(request.headers), await request.read()))
            return web.Response(status=self.sent_status, text="x" * 2 * OUTPUT_LIMIT_BYTES)
        self.asked.append(request)
        if self.broken:
            return web.Response(status=500, text="No cluster leader")
        if request.query.get("index") == str(self.index):
            self.waiting += 1
            try:
                await self.changed.wait()
            finally:
                self.waiting -= 1
        return web.json_response(self.services, headers={"X-Consul-Index": str(self.index)})


@pytest.fixture
async def servers() -> Servers:
    return Servers()


@pytest.fixture
async def address(servers: Servers) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(servers.handle, handler_cancellation=True), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"{host}:{port}"
    await runner.cleanup()


@pytest.fixture
async def watches(address: str) -> AsyncIterator[Watches]:
    made = Watches(lambda: [f"{address} (tcp)"])
    yield made
    await made.aclose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def sink(address: str, **changes: object) -> WatchDefinition:
    config = HttpHandlerConfig(path=f"http://{address}/sink", **changes)  # type: ignore[arg-type]
    return WatchDefinition(type="services", handler_type="http", http_handler_config=config)


async def test_a_handler_is_told_of_what_is_there_and_of_each_change(
    servers: Servers, address: str, watches: Watches
) -> None:
    watches.follow([sink(address, method="PUT", header={"X-Mine": ["a", "b"]})])
    await until(lambda: servers.waiting)
    servers.change({"web": ["<"]})
    await until(lambda: len(servers.sent) == 2)
    (method, headers, first), (_, second_headers, second) = servers.sent
    assert (method, headers["Content-Type"], headers["X-Consul-Index"]) == ("PUT", "application/json", "1")
    assert (first, second, second_headers["X-Consul-Index"]) == (b"{}\n", b'{"web":["\\u003c"]}\n', "2")
    assert "X-Mine" in headers


async def test_an_index_alone_is_no_change(servers: Servers, address: str, watches: Watches) -> None:
    watches.follow([sink(address)])
    await until(lambda: servers.waiting)
    servers.change({})
    await until(lambda: servers.waiting and len(servers.asked) == 3)
    assert len(servers.sent) == 1


async def test_what_is_asked_along(servers: Servers, address: str, watches: Watches) -> None:
    watch = sink(address)
    watch.datacenter, watch.token, watch.stale, watch.filter = "dc2", "t", True, "a in b"
    watches.follow([watch])
    await until(lambda: servers.asked)
    request = servers.asked[0]
    assert dict(request.query) == {"filter": "a in b", "dc": "dc2", "stale": ""}
    assert request.headers["X-Consul-Token"] == "t"


async def test_failures_are_told_and_waited_out(
    servers: Servers, address: str, watches: Watches, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "RETRY_S", 0.01)
    servers.broken = True
    watches.follow([sink(address)])
    await until(lambda: len(servers.asked) >= 2)
    assert "Unexpected response code: 500 (No cluster leader)" in caplog.text
    servers.broken = False
    await until(lambda: servers.sent)


async def test_the_http_api_may_be_served_by_a_unix_socket(servers: Servers, address: str, tmp_path: Path) -> None:
    runner = web.ServerRunner(web.Server(servers.handle))
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "a socket")).start()
    watches = Watches(lambda: [f"{tmp_path}/a socket (unix)"])
    watches.follow([sink(address)])
    await until(lambda: servers.sent)
    await watches.aclose()
    servers.change({})
    await runner.cleanup()


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("0.0.0.0:8500 (tcp)", "http://127.0.0.1:8500"),
        ("[::]:8500 (tcp)", "http://[::1]:8500"),
        ("[fd00::1]:80 (tcp)", "http://[fd00::1]:80"),
    ],
)
async def test_an_agent_that_serves_everywhere_is_asked_here(address: str, origin: str) -> None:
    connector, found = _connector([address])
    await connector.close()
    assert found == origin


async def test_without_the_http_api_there_is_a_complaint(caplog: pytest.LogCaptureFixture) -> None:
    watches = Watches(list)
    watches.follow([WatchDefinition(type="nodes", args=["true"])])
    await until(lambda: "the HTTP API is not served" in caplog.text)
    await watches.aclose()


async def test_a_reload_starts_stops_and_leaves_alone(servers: Servers, address: str, watches: Watches) -> None:
    kept, dropped = sink(address), sink(address, method="PUT")
    watches.follow([kept, dropped])
    await until(lambda: servers.waiting == 2)
    added = sink(address, method="DELETE")
    watches.follow([added, kept])
    await until(lambda: servers.waiting == 2 and len(servers.sent) == 3)
    assert sorted(method for method, _, _ in servers.sent) == ["DELETE", "POST", "PUT"]
    servers.change({"web": []})
    await until(lambda: len(servers.sent) == 5)
    assert sorted(method for method, _, _ in servers.sent[3:]) == ["DELETE", "POST"]
    await watches.aclose()
    await until(lambda: not servers.waiting)
    assert len(watches) == 0


async def test_one_handler_at_a_time_and_the_newest_state_after_it(
    servers: Servers, watches: Watches, tmp_path: Path
) -> None:
    seen, gate = tmp_path / "seen", tmp_path / "gate"
    script = f"cat >> {seen}; while ! test -e {gate}; do sleep 0.01; done"
    watches.follow([WatchDefinition(type="services", handler=script)])
    await until(seen.exists)
    servers.change({"a": []})
    servers.change({"b": []})
    gate.touch()
    await until(lambda: seen.read_text().count("\n") == 2)
    assert [json.loads(line) for line in seen.read_text().splitlines()] == [{}, {"b": []}]


async def test_a_script_that_runs_ends_with_its_watch(watches: Watches, tmp_path: Path) -> None:
    started, survived = tmp_path / "started", tmp_path / "survived"
    watches.follow([WatchDefinition(type="services", handler=f"touch {started}; sleep 30; touch {survived}")])
    await until(started.exists)
    async with asyncio.timeout(10):
        await watches.aclose()
    assert not survived.exists()


# --- handlers ---


async def test_scripts_get_the_index_and_the_document(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for watch in (
        WatchDefinition(type="nodes", handler=f"(echo $CONSUL_INDEX; cat) > {out}"),
        WatchDefinition(type="nodes", args=["/bin/sh", "-c", f"(echo $CONSUL_INDEX; cat) > {out}"]),
    ):
        await make_handler(watch)(7, b"[]\n")
        assert out.read_text() == "7\n[]\n"
        out.unlink()


async def test_scripts_need_not_read(caplog: pytest.LogCaptureFixture) -> None:
    await run(shell_command("exec 0<&-; exit 3"), 1, bytes(1_000_000))
    assert "ended with 3" in caplog.text


async def test_scripts_may_write_nothing_and_read_late(tmp_path: Path) -> None:
    out = tmp_path / "out"
    await run(shell_command(f"exec >/dev/null 2>&1; sleep 0.1; cat > {out}"), 1, bytes(1_000_000))
    assert out.stat().st_size == 1_000_000


async def test_scripts_that_cannot_be_run_are_told(caplog: pytest.LogCaptureFixture) -> None:
    await run(["/nowhere/at/all"], 1, b"")
    assert "failed to run watch handler ['/nowhere/at/all']" in caplog.text


async def test_of_a_long_output_the_end_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await run(["/bin/sh", "-c", "head -c 100000 /dev/zero | tr '\\0' y; echo end"], 1, b"")
    assert "Captured 4096 of 100004 bytes\n...\ny" in caplog.text
    assert caplog.text.rstrip().endswith("end")


async def test_an_answer_that_is_no_2xx_is_told(
    servers: Servers, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    servers.sent_status = 503
    await send(HttpHandlerConfig(path=f"http://{address}/sink"), 1, b"null\n")
    assert f"http watch handler http://{address}/sink got 503 with output: Captured 4096 of 8192 bytes" in caplog.text


@pytest.mark.parametrize("path", ["http://127.0.0.1:1/", "odd://x", "http://[", "http://127.0.0.1:99999/"])
async def test_what_cannot_be_reached_is_told(path: str, caplog: pytest.LogCaptureFixture) -> None:
    await send(HttpHandlerConfig(path=path), 1, b"null\n")
    assert f"failed to invoke http watch handler {path}" in caplog.text


async def test_a_request_that_takes_too_long_is_given_up(
    servers: Servers, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    await send(HttpHandlerConfig(path=f"http://{address}/v1/x?index=1", timeout=20_000_000), 1, b"null\n")
    assert "failed to invoke http watch handler" in caplog.text


async def test_a_script_that_is_only_being_started_ends_with_what_it_has_started(tmp_path: Path) -> None:
    """Cancelled at each step of its start, of which asyncio makes several."""
    survived = tmp_path / "survived"
    for steps in range(12):
        running = asyncio.create_task(run(shell_command(f"(sleep 20; touch {survived}) & wait"), 1, b"[]"))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(running, return_exceptions=True)
    assert not survived.exists()
