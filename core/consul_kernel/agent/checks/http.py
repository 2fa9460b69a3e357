"""HTTP checks: passing on any 2xx, warning on 429, critical on everything else."""

from __future__ import annotations

import random
from http import HTTPStatus

import aiohttp

from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .dialling import dial_failure
from .periodic import PeriodicRunner
from .runner import Report

BODY_LIMIT_BYTES = 4096
_HEADERS = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}


class HttpRunner(PeriodicRunner):
    """Sends one request each interval, on a connection of its own, as Consul does."""

    def __init__(self, definition: CheckDefinition, report: Report, rng: random.Random) -> None:
        super().__init__(definition, report, rng)
        self._method = definition.method or "GET"
        self._headers = list(_HEADERS.items())
        for name, values in (definition.header or {}).items():
            self._headers = [pair for pair in self._headers if pair[0].lower() != name.lower()]
            self._headers += [(name, value) for value in values]

    async def probe(self) -> tuple[CheckStatus, str]:
        """Ask once, reading no more of the body than is kept."""
        definition = self._definition
        connector = aiohttp.TCPConnector(force_close=True, ssl=not definition.tls_skip_verify)
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.request(
                    self._method,
                    definition.http,
                    headers=self._headers,
                    data=definition.body.encode() or None,
                    allow_redirects=not definition.disable_redirects,
                    server_hostname=definition.tls_server_name or None,
                ) as response,
            ):
                body = await response.content.read(definition.output_max_size or BODY_LIMIT_BYTES)
                return _status(response.status), self._output(response, body)
        except (aiohttp.ClientError, ValueError) as error:
            return CheckStatus.CRITICAL, f"{self._request()}: {_reason(error)}"

    def _output(self, response: aiohttp.ClientResponse, body: bytes) -> str:
        text = body.decode("utf-8", "replace")
        status = f"{response.status} {response.reason or ''}"
        return f"HTTP {self._method} {self._definition.http}: {status} Output: {text}"

    def _request(self) -> str:
        """As Go's client begins its errors."""
        return f'{self._method.capitalize()} "{self._definition.http}"'

    def timeout_output(self) -> str:
        """As Go's client words it."""
        return f"{self._request()}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return dial_failure(error.host, error.port, error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error)


def _status(code: int) -> CheckStatus:
    if 200 <= code < 300:
        return CheckStatus.PASSING
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return CheckStatus.WARNING
    return CheckStatus.CRITICAL
