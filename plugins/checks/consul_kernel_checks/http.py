"""HTTP checks: passing on any 2xx, warning on 429, critical on everything else."""

from __future__ import annotations

from http import HTTPStatus

import aiohttp

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .captured import Captured
from .dialling import dial_failure

BODY_READ_MAX_BYTES = 1024 * 1024
"""A body is read to its end, as by Consul, which keeps its last bytes; but no further than this."""
REDIRECTS_MAX = 10
_HEADERS = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}


class HttpConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    http: str = ""
    """The URL that is asked."""
    method: str = ""
    """`GET` where it is empty."""
    header: dict[str, list[str]] = {}
    """Headers of the request, each with its values."""
    body: str = ""
    """The body of the request."""
    disable_redirects: bool = False
    """Take a redirect for the answer, rather than follow up to ten."""
    tls_server_name: str = ""
    """The name that the server's certificate must have, where that is not the URL's."""
    tls_skip_verify: bool = False
    """Take any certificate."""


class HttpCheck:
    """Sends one request for each probe, on a connection of its own, as Consul does."""

    def __init__(self, context: CheckContext, config: HttpConfig) -> None:
        self._config = config
        self._method = config.method or "GET"
        self._limit_bytes = context.output_limit_bytes
        given = {name.lower() for name in config.header}
        self._headers = [pair for pair in _HEADERS.items() if pair[0].lower() not in given]
        self._headers += [(name, value) for name, values in config.header.items() for value in values]

    async def probe(self) -> Outcome:
        """Ask once."""
        config = self._config
        connector = aiohttp.TCPConnector(force_close=True, ssl=not config.tls_skip_verify)
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.request(
                    self._method,
                    config.http,
                    headers=self._headers,
                    data=config.body.encode() or None,
                    allow_redirects=not config.disable_redirects,
                    max_redirects=REDIRECTS_MAX,
                    server_hostname=config.tls_server_name or None,
                ) as response,
            ):
                return Outcome(_status(response.status), self._output(response, await self._body(response)))
        except (aiohttp.ClientError, ValueError) as error:
            return Outcome(CheckStatus.CRITICAL, f"{self._request()}: {_reason(error)}")

    async def _body(self, response: aiohttp.ClientResponse) -> str:
        """Its end. One that breaks off counts for what there is of it: the status has been said."""
        captured = Captured(self._limit_bytes)
        try:
            async for piece in response.content.iter_any():
                captured.add(piece)
                if captured.total >= BODY_READ_MAX_BYTES:
                    break
        except aiohttp.ClientError:
            pass
        return captured.text()

    def _output(self, response: aiohttp.ClientResponse, body: str) -> str:
        status = f"{response.status} {response.reason or ''}"
        return f"HTTP {self._method} {self._config.http}: {status} Output: {body}"

    def _request(self) -> str:
        """As Go's client begins its errors."""
        return f'{self._method.capitalize()} "{self._config.http}"'

    def timed_out(self) -> Outcome:
        """As Go's client words it."""
        return Outcome(
            CheckStatus.CRITICAL,
            f"{self._request()}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        )


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return dial_failure(error.host, error.port, error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"stopped after {REDIRECTS_MAX} redirects"
    return str(error)


def _status(code: int) -> CheckStatus:
    if 200 <= code < 300:
        return CheckStatus.PASSING
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return CheckStatus.WARNING
    return CheckStatus.CRITICAL


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="http", api=1, create=HttpCheck, config_type=HttpConfig, summary="the status that a URL answers with"
    )
