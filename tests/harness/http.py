"""A client without retries: one request, one answer, or an OSError."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def index(self) -> int:
        """X-Consul-Index."""
        return int(self.headers["x-consul-index"])


def request(
    address: str, method: str, path: str, body: bytes | str | dict[str, Any] | None = None, *, timeout_s: float = 10.0
) -> Answer:
    """Send one request to `host:port`."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    if isinstance(body, dict):
        body = json.dumps(body)
    try:
        connection.request(method, path, body=body.encode() if isinstance(body, str) else body)
        response = connection.getresponse()
        headers = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    except http.client.HTTPException as error:
        raise OSError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
