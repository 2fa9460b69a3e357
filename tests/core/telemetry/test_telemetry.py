"""What is counted is what is shown: intervals, names and filters, Prometheus, statsd."""

from __future__ import annotations

import asyncio
import math
import re
import statistics
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.metrics import NO_METRICS
from consul_kernel.structs.metrics import SampledValue
from consul_kernel.structs.settings import TelemetrySettings
from consul_kernel.telemetry import registry as registry_module
from consul_kernel.telemetry.document import summary
from consul_kernel.telemetry.instruments import RECENT, SampleInstrument
from consul_kernel.telemetry.keeper import Telemetry
from consul_kernel.telemetry.naming import Naming
from consul_kernel.telemetry.registry import KEPT_INTERVALS, MetricsRegistry
from consul_kernel.telemetry.sinks import split_address
from consul_kernel.telemetry.statsd import MAX_DATAGRAM_BYTES, packed, statsd_lines

LABELS = (("method", "GET"), ("path", "v1.kv._"))


class Clock:
    """UNIX time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_767_225_600.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def registry() -> MetricsRegistry:
    return MetricsRegistry(Clock())


def the(values: list[SampledValue], name: str) -> SampledValue:
    """The one of this name."""
    (found,) = [value for value in values if value.name == name]
    return found


# --- instruments ---


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=3 * RECENT))
def test_a_sample_adds_up_to_what_came(values: list[float]) -> None:
    sample = SampleInstrument("a", (), "")
    for value in values:
        sample.add(value)
    seen = sample.look()
    assert seen is not None
    assert (seen.count, seen.min, seen.max) == (len(values), min(values), max(values))
    assert seen.sum == pytest.approx(math.fsum(values), abs=1e-3)
    assert seen.mean == pytest.approx(statistics.fmean(values), abs=1e-3)
    assert seen.stddev == pytest.approx(statistics.stdev(values), rel=1e-3, abs=2.0)
    newest = values[-RECENT:]
    assert min(newest) <= sample.quantile(0.5) <= max(values)
    sample.begin()
    assert sample.look() is None
    assert sample.totals()[0] == len(values)


def test_many_of_the_same_are_as_many_values() -> None:
    one, many = SampleInstrument("a", (), ""), SampleInstrument("a", (), "")
    for value in (2.0, 5.0, 5.0, 5.0):
        one.add(value)
    many.add(2.0)
    many.add(5.0, 3)
    assert one.look() == many.look()


def test_quantiles_are_of_the_newest_values() -> None:
    sample = SampleInstrument("a", (), "")
    assert math.isnan(sample.quantile(0.5))
    for value in range(10 * RECENT):
        sample.add(value)
    assert sample.quantile(0.5) >= 9 * RECENT - 1
    sample.begin()
    assert sample.quantile(0.99) >= 9 * RECENT


def test_a_total_is_followed_also_when_it_begins_anew(registry: MetricsRegistry) -> None:
    counter = registry.counter("rpc.request")
    for total in (5, 7, 7, 3):
        counter.follow(total)
    assert counter.value == 10


def test_nothing_counts_for_nobody() -> None:
    NO_METRICS.counter("a").add()
    NO_METRICS.counter("a").follow(3)
    NO_METRICS.gauge("a").set(1)
    NO_METRICS.sample("a", LABELS, alias="b").add(1.0, 2)
    NO_METRICS.before_showing(lambda: pytest.fail("nobody looks"))


# --- intervals ---


def test_an_interval_that_is_over_is_shown_the_running_one_only_while_it_is_the_first(
    registry: MetricsRegistry,
) -> None:
    counter = registry.counter("kvs.apply")
    counter.add(3)
    assert registry.latest().counters["kvs.apply", ()].sum == 3
    counter.add()
    registry.end_interval()
    counter.add(100)
    assert registry.latest().counters["kvs.apply", ()].sum == 4
    registry.end_interval()
    registry.end_interval()
    assert not registry.latest().counters, "nothing happened in the last one"
    for _ in range(2 * KEPT_INTERVALS):
        registry.end_interval()
    assert len(registry.finished) == KEPT_INTERVALS


def test_sources_are_asked_before_anything_is_shown_and_may_fail(
    registry: MetricsRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    registry.before_showing(broken)
    registry.before_showing(lambda: registry.gauge("members.servers").set(3))
    assert registry.latest().gauges == {("members.servers", ()): 3}
    assert "a source of metrics failed" in caplog.text


def test_the_number_of_metrics_is_bounded(
    registry: MetricsRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry_module, "MAX_INSTRUMENTS", 3)
    for number in range(10):
        registry.counter("a", (("n", str(number)),)).add()
    assert len(registry.latest().counters) == 3
    assert caplog.text.count("metrics are kept") == 1


# --- the document ---


def test_the_document_is_go_metrics(registry: MetricsRegistry) -> None:
    registry.gauge("runtime.alloc_bytes").set(12)
    registry.counter("raft.apply").add(4)
    sample = registry.sample("api.http", LABELS, alias="http.GET.v1.kv._")
    for value in (1.0, 2.0, 3.0):
        sample.add(value)
    shown = summary(registry.end_interval(), Naming("consul", "host"))
    assert shown.timestamp == "2026-01-01 00:00:00 +0000 UTC"
    assert [(gauge.name, gauge.value) for gauge in shown.gauges] == [("consul.host.runtime.alloc_bytes", 12)]
    counter = the(shown.counters, "consul.raft.apply")
    assert (counter.count, counter.sum, counter.rate, counter.mean) == (4, 4, 0.4, 1)
    timed = the(shown.samples, "consul.api.http")
    assert (timed.count, timed.min, timed.max, timed.mean, timed.stddev) == (3, 1, 3, 2, 1)
    assert timed.labels == {"method": "GET", "path": "v1.kv._"}
    assert the(shown.samples, "consul.http.GET.v1.kv._").labels == {}
    assert shown.points == []


def test_older_names_can_be_left_out() -> None:
    registry = MetricsRegistry(Clock(), compat_names=False)
    registry.sample("api.http", LABELS, alias="http.GET.v1.kv._").add(1.0)
    assert list(registry.latest().samples) == [("api.http", LABELS)]


@pytest.mark.parametrize(
    ("rules", "filter_default", "shown"),
    [
        ((), True, {"consul.raft.apply", "consul.raft.state", "consul.http"}),
        ((), False, set()),
        (("-consul.raft",), True, {"consul.http"}),
        (("-consul.raft", "+consul.raft.apply"), True, {"consul.http", "consul.raft.apply"}),
        (("+consul.raft", "-consul.raft.apply"), False, {"consul.raft.state"}),
    ],
)
def test_the_longest_filter_decides(rules: tuple[str, ...], filter_default: bool, shown: set[str]) -> None:
    naming = Naming("consul", "", rules, filter_default=filter_default)
    assert {naming.name(name) for name in ("raft.apply", "raft.state", "http")} - {None} == shown


# --- settings ---


def keeper(**settings: object) -> Telemetry:
    return Telemetry(TelemetrySettings(**settings), now_s=Clock(), hostname=lambda: "web-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "consul.a"),
        ({"prometheus_retention_ms": 1}, "consul.web-1.a"),
        ({"statsd_address": "127.0.0.1:8125"}, "consul.web-1.a"),
        ({"statsd_address": "127.0.0.1:8125", "disable_hostname": True}, "consul.a"),
        ({"metrics_prefix": "ours"}, "ours.a"),
    ],
)
def test_gauges_carry_the_hosts_name_once_somebody_is_sent_them(settings: dict[str, object], name: str) -> None:
    telemetry = keeper(**settings)
    telemetry.registry.gauge("a").set(1)
    assert [gauge.name for gauge in telemetry.summary().gauges] == [name]


def test_filters_can_change(registry: MetricsRegistry) -> None:
    telemetry = keeper()
    telemetry.registry.gauge("a").set(1)
    telemetry.reload(TelemetrySettings(prefix_filter=("-consul.a",)))
    assert telemetry.summary().gauges == []


# --- Prometheus ---


def test_prometheus_is_off_without_a_retention_time() -> None:
    assert keeper().prometheus() is None


def test_prometheus_reads_totals_and_quantiles() -> None:
    telemetry = keeper(prometheus_retention_ms=1, disable_hostname=True)
    registry = telemetry.registry
    for _ in range(2):
        registry.counter("rpc.request").add(2)
        registry.sample("kvs.apply").add(1.5)
        registry.end_interval()
    registry.gauge("a-b.c", (("path", 'a"b\\c\nd'),)).set(2.5)
    registry.counter("never")
    text = telemetry.prometheus()
    assert text == (
        "# HELP consul_a_b_c consul_a_b_c\n# TYPE consul_a_b_c gauge\n"
        'consul_a_b_c{path="a\\"b\\\\c\\nd"} 2.5\n'
        "# HELP consul_kvs_apply consul_kvs_apply\n# TYPE consul_kvs_apply summary\n"
        'consul_kvs_apply{quantile="0.5"} 1.5\nconsul_kvs_apply{quantile="0.9"} 1.5\n'
        'consul_kvs_apply{quantile="0.99"} 1.5\nconsul_kvs_apply_sum 3\nconsul_kvs_apply_count 2\n'
        "# HELP consul_never consul_never\n# TYPE consul_never counter\nconsul_never 0\n"
        "# HELP consul_rpc_request consul_rpc_request\n# TYPE consul_rpc_request counter\nconsul_rpc_request 4\n"
    )


# --- statsd ---


def figures(text: str) -> Iterator[tuple[str, float, str, float]]:
    """Name, value, kind and rate of each line, as a statsd reads it."""
    for line in text.splitlines():
        found = re.fullmatch(r"([^:|]+):([-\d.e+]+)\|(g|c|ms)(?:\|@([\d.e-]+))?", line)
        assert found, line
        yield found[1], float(found[2]), found[3], float(found[4] or 1)


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=50))
def test_statsd_hears_count_sum_and_extremes(values: list[float]) -> None:
    registry = MetricsRegistry(Clock())
    for value in values:
        registry.sample("kvs.apply").add(value)
    lines = list(figures("".join(statsd_lines(registry.end_interval(), Naming("consul", "")))))
    assert {(name, kind) for name, _, kind, _ in lines} == {("consul.kvs.apply", "ms")}
    assert sum(1 / rate for *_, rate in lines) == pytest.approx(len(values), rel=1e-6)
    assert sum(value / rate for _, value, _, rate in lines) == pytest.approx(math.fsum(values), rel=1e-4, abs=1e-3)
    assert min(value for _, value, _, _ in lines) == pytest.approx(min(values), abs=1e-6)
    assert max(value for _, value, _, _ in lines) == pytest.approx(max(values), abs=1e-6)


def test_labels_become_parts_of_the_name_and_odd_characters_go(registry: MetricsRegistry) -> None:
    registry.counter("a", (("service", "w:e b|c"),)).add(2)
    registry.gauge("g").set(3)
    text = "".join(statsd_lines(registry.end_interval(), Naming("consul", "host")))
    assert list(figures(text)) == [("consul.host.g", 3, "g", 1), ("consul.a.w_e_b_c", 2, "c", 1)]


def test_datagrams_fit_and_lose_nothing() -> None:
    lines = [f"consul.{'x' * (number % 90)}:{number}|c\n" for number in range(300)]
    datagrams = list(packed([*lines, "y" * 3000]))
    assert b"".join(datagrams).decode() == "".join(lines) + "y" * 3000
    assert all(len(datagram) <= MAX_DATAGRAM_BYTES for datagram in datagrams[:-1])


@pytest.mark.parametrize("bad", ["a:b", "a:0", "a:70000", "a:"])
def test_addresses_that_are_none(bad: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        split_address(bad)
    assert split_address("host") == ("host", 8125)
    assert split_address("[::1]:99") == ("::1", 99)


# --- sinks ---


class Receiver(asyncio.DatagramProtocol):
    """What came by UDP."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait(data)


class Soon(Clock):
    """A clock on which the interval is about to end, however often it is asked."""

    def __init__(self) -> None:
        self.now_s = 1_767_225_609.999


@pytest.mark.parametrize("kind", ["statsd_address", "dogstatsd_addr"])
async def test_intervals_are_sent_by_udp(kind: str) -> None:
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    settings = TelemetrySettings(**{kind: f"127.0.0.1:{port}"}, dogstatsd_tags=("env:prod",), disable_hostname=True)  # type: ignore[arg-type]
    telemetry = Telemetry(settings, now_s=Soon())
    telemetry.registry.counter("rpc.request", (("datacenter", "dc2"),)).add(7)
    running = asyncio.create_task(telemetry.run())
    async with asyncio.timeout(5):
        came = (await receiver.came.get()).decode()
    running.cancel()
    transport.close()
    if kind == "statsd_address":
        assert came == "consul.rpc.request.dc2:7.000000|c\n"
    else:
        assert came == "consul.rpc.request:7.000000|c|#env:prod,datacenter:dc2\n"


async def test_statsite_is_sent_a_stream_that_is_opened_anew(caplog: pytest.LogCaptureFixture) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(await reader.readline())
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    telemetry = Telemetry(TelemetrySettings(statsite_address=f"127.0.0.1:{port}", disable_hostname=True), now_s=Soon())
    telemetry.registry.gauge("a").set(1)
    running = asyncio.create_task(telemetry.run())
    async with asyncio.timeout(5):
        for _ in range(3):
            assert await came.get() == b"consul.a:1.000000|g\n"
    running.cancel()
    server.close()


async def test_a_receiver_that_is_not_there_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    telemetry = Telemetry(TelemetrySettings(statsite_address=f"127.0.0.1:{port}"), now_s=Soon())
    running = asyncio.create_task(telemetry.run())
    async with asyncio.timeout(5):
        while len(telemetry.registry.finished) < 4:
            await asyncio.sleep(0)
    running.cancel()
    assert caplog.text.count("metrics could not be sent") == 1
