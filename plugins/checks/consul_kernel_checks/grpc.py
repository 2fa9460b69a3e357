"""gRPC checks: what a server says by gRPC's health checking protocol.

A single unary call, for which grpc's own library, with its threads and 15 MB of compiled code, would be much: the
call is HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), its two messages have one field each
(https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
"""

from __future__ import annotations

import ssl
from urllib.parse import unquote

from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .dialling import dial_failure
from .grpc_messages import ServingStatus, decode_response, encode_request, grpc_code
from .http2 import Http2Connection, Http2Error, connect_http2
from .targets import split_target
from .tls import certificate_failure

PATH = "/grpc.health.v1.Health/Check"
BODY_MAX_BYTES = 65_536
_OK = "0"


class GrpcConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    grpc: str = ""
    """`host:port` of a server, or `host:port/service` for the health of one of its services."""
    grpc_use_tls: bool = False
    """Whether there is TLS around it."""
    tls_server_name: str = ""
    """The name that the server's certificate must have, where that is not the host's."""
    tls_skip_verify: bool = False
    """Take any certificate."""


class GrpcError(Exception):
    """A call that gave no reply: gRPC's code and text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {text}")


class GrpcCheck:
    """Connects, calls `Health.Check` once, and closes."""

    def __init__(self, context: CheckContext, config: GrpcConfig) -> None:
        self._config = config
        address, _, service = config.grpc.partition("/")
        self._authority = address
        self._target = split_target(address)
        self._request = encode_request(service)

    async def probe(self) -> Outcome:
        """Call once."""
        config, target = self._config, self._target
        try:
            async with connect_http2(
                target,
                use_tls=config.grpc_use_tls,
                skip_verify=config.tls_skip_verify,
                server_name=config.tls_server_name,
            ) as connection:
                status = await self._call(connection)
        except GrpcError as error:
            return Outcome(CheckStatus.CRITICAL, str(error))
        except Http2Error as error:
            return self._not_reached(str(error))
        except ssl.SSLError as error:
            return self._not_reached(certificate_failure(error))
        except OSError as error:
            return self._not_reached(dial_failure(target.host, target.port, error))
        if status is ServingStatus.SERVING:
            return Outcome(CheckStatus.PASSING, f"gRPC check {config.grpc}: success")
        return Outcome(CheckStatus.CRITICAL, f"gRPC {config.grpc} serving status: {status.name}")

    async def _call(self, connection: Http2Connection) -> ServingStatus:
        stream = connection.state.get_next_available_stream_id()
        connection.state.send_headers(stream, self._headers())
        connection.state.send_data(stream, self._request, end_stream=True)
        await connection.flush()
        body = bytearray()
        headers: dict[str, str] = {}
        async for event in connection.events():
            if isinstance(event, ResponseReceived | TrailersReceived):
                headers.update((str(name), str(value)) for name, value in event.headers)
            elif isinstance(event, DataReceived):
                body += event.data
                if len(body) > BODY_MAX_BYTES:
                    raise GrpcError("ResourceExhausted", f"the reply is longer than {BODY_MAX_BYTES} bytes")
            elif isinstance(event, StreamReset):
                raise GrpcError("Unavailable", f"stream terminated by RST_STREAM with error code: {event.error_code}")
            elif isinstance(event, StreamEnded):
                break
        return _result(headers, bytes(body))

    def _headers(self) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", "https" if self._config.grpc_use_tls else "http"),
            (":path", PATH),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "Consul Health Check"),
        ]

    def _not_reached(self, reason: str) -> Outcome:
        text = f'connection error: desc = "transport: Error while dialing {reason}"'
        return Outcome(CheckStatus.CRITICAL, str(GrpcError("Unavailable", text)))

    def timed_out(self) -> Outcome:
        """As grpc-go words it."""
        return Outcome(CheckStatus.CRITICAL, str(GrpcError("DeadlineExceeded", "context deadline exceeded")))


def _result(headers: dict[str, str], body: bytes) -> ServingStatus:
    """What the call came to. GrpcError where that is no reply."""
    http_status = headers.get(":status", "")
    if http_status != "200":
        raise GrpcError("Unknown", f"unexpected HTTP status code received from server: {http_status}")
    status = headers.get("grpc-status", "")
    if status != _OK:
        raise GrpcError(grpc_code(status), unquote(headers.get("grpc-message", "")))
    try:
        return decode_response(body)
    except ValueError as error:
        raise GrpcError("Internal", str(error)) from error


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="grpc",
        api=1,
        create=GrpcCheck,
        config_type=GrpcConfig,
        summary="what a server says by gRPC's health checking protocol",
    )
