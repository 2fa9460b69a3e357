"""gRPC checks: what a server says of itself and of its services, and all that is no reply."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel_checks.grpc_messages import ServingStatus, decode_response, encode_request, grpc_code
from harness.checks import SECOND_NS, CheckBench
from plugins.checks.probed import GrpcAnswer, GrpcServer, serving, silent_server, tcp_server


def grpc(target: str, timeout_ns: int = 5 * SECOND_NS) -> CheckDefinition:
    return CheckDefinition(id="c", grpc=target, interval=SECOND_NS, timeout=timeout_ns)


async def test_a_service_is_asked_for_by_name(bench: CheckBench) -> None:
    asked: list[bytes] = []

    def answer(request: bytes) -> GrpcAnswer:
        asked.append(request)
        return serving(ServingStatus.SERVING)

    server = GrpcServer(answer)
    async with tcp_server(server) as address:
        reported = await bench.first_report(grpc(f"{address}/shop.Cart"))
    assert reported == (CheckStatus.PASSING, f"gRPC check {address}/shop.Cart: success")
    assert asked == [b"\0\0\0\0\x0b\x0a\x09shop.Cart"]
    (headers,) = server.requests
    assert headers[":path"] == "/grpc.health.v1.Health/Check"
    assert (headers[":authority"], headers["content-type"], headers["te"]) == (address, "application/grpc", "trailers")


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (serving(ServingStatus.NOT_SERVING), "gRPC ADDRESS serving status: NOT_SERVING"),
        (serving(ServingStatus.UNKNOWN), "gRPC ADDRESS serving status: UNKNOWN"),
        (
            GrpcAnswer(status="12", text="unknown service grpc.health.v1.Health"),
            "rpc error: code = Unimplemented desc = unknown service grpc.health.v1.Health",
        ),
        (GrpcAnswer(status="5", text="no%20such%20service"), "rpc error: code = NotFound desc = no such service"),
        (GrpcAnswer(status="99"), "rpc error: code = Code(99) desc = "),
        (
            GrpcAnswer(http_status="404"),
            "rpc error: code = Unknown desc = unexpected HTTP status code received from server: 404",
        ),
        (
            GrpcAnswer(message=b"\xff"),
            "rpc error: code = Internal desc = the reply is no HealthCheckResponse: index out of range",
        ),
    ],
)
async def test_all_but_serving_is_critical(bench: CheckBench, answer: GrpcAnswer, output: str) -> None:
    async with tcp_server(GrpcServer(lambda _: answer)) as address:
        reported = await bench.first_report(grpc(address))
    assert reported == (CheckStatus.CRITICAL, output.replace("ADDRESS", address))


async def test_nobody_there(bench: CheckBench) -> None:
    status, output = await bench.first_report(grpc("127.0.0.1:1"))
    assert status is CheckStatus.CRITICAL
    assert output == (
        "rpc error: code = Unavailable desc = connection error: desc = "
        '"transport: Error while dialing dial tcp 127.0.0.1:1: connect: connection refused"'
    )


async def test_no_answer_in_time(bench: CheckBench) -> None:
    async with silent_server() as address:
        reported = await bench.first_report(grpc(address, SECOND_NS // 20))
    expected = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    assert reported == (CheckStatus.CRITICAL, expected)


async def test_what_does_not_speak_http2_is_critical(bench: CheckBench, listener: str) -> None:
    status, output = await bench.first_report(grpc(listener))
    assert status is CheckStatus.CRITICAL
    assert output.startswith("rpc error: code = Unavailable desc = connection error: ")


@given(st.binary(max_size=40))
def test_any_reply_is_a_status_or_a_value_error(data: bytes) -> None:
    for reply in (data, b"\0" + len(data).to_bytes(4, "big") + data):
        with contextlib.suppress(ValueError):
            assert decode_response(reply) in ServingStatus


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"", ServingStatus.UNKNOWN),
        (b"\x08\x01", ServingStatus.SERVING),
        (b"\x08\x01\x08\x02", ServingStatus.NOT_SERVING),
        (b"\x12\x03abc\x1d\0\0\0\0\x21\0\0\0\0\0\0\0\0\x08\x01\x80\x01\x07", ServingStatus.SERVING),
    ],
)
def test_fields_of_later_versions_are_passed_over(message: bytes, status: ServingStatus) -> None:
    assert decode_response(b"\0" + len(message).to_bytes(4, "big") + message) is status


def test_long_names_and_codes() -> None:
    request = encode_request("s" * 300)
    assert request[5:8] == b"\x0a\xac\x02"
    assert len(request) == 5 + 3 + 300
    assert encode_request("") == bytes(5)
    assert [grpc_code(text) for text in ("0", "16", "17", "", "x", "²")] == [
        "OK",
        "Unauthenticated",
        "Code(17)",
        "Unknown",
        "Code(x)",
        "Code(²)",
    ]
