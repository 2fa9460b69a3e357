"""Requests for every route of the plugin's own table: right ones, nearly right ones, and absurd ones.

The routes come from the table, so a new endpoint is asked like all others. What an endpoint reads is not known here:
every request takes parameters from all that the API has, with values of the kind that the name stands for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from consul_kernel_http.routes import ROUTES
from consul_kernel_http.routes_later import ROUTES_LATER
from fuzz.choices import Choices, once_in, one_of
from fuzz.json_bodies import json_body
from fuzz.odd_values import ODD_DURATIONS, ODD_FLAGS, ODD_NUMBERS, REGEXES, filter_expression, likely, text

Header = tuple[bytes, bytes]

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND")
ENDS_THE_AGENT = ("PUT", "/v1/agent/leave")
"""As it should; asked with every other method only."""
_JOINED = (
    "",
    "127.0.0.1:1",
    "127.0.0.1",
    "[::1]:1",
    "256.0.0.1",
    "127.0.0.1:99999",
    "127.0.0.1:x",
    ":1",
    "a:b:c",
    "x/127.0.0.1:1",
)
"""Nothing that has to be looked up: what the resolver of the machine does is no part of this."""

_Value = Callable[[Choices], bytes]


def _of(*values: str) -> _Value:
    return lambda choices: likely(choices, values)


PARAMETERS: dict[str, _Value] = {
    **dict.fromkeys(("index", "cas", "flags", "since", "limit", "relay-factor"), _of(*ODD_NUMBERS)),
    **dict.fromkeys(("wait", "max_stale"), _of(*ODD_DURATIONS)),
    **dict.fromkeys(
        (
            *("stale", "consistent", "cached", "leader", "pretty", "recurse", "keys", "raw", "passing", "wan", "prune"),
            *("connect", "enable", "replace-existing-checks", "local-only", "logjson"),
        ),
        _of(*ODD_FLAGS),
    ),
    **dict.fromkeys(
        (
            *("near", "node-meta", "tag", "separator", "seperator", "acquire", "release", "token", "segment", "id"),
            *("address", "name", "reason", "note", "format", "loglevel", "kind", "hash", "ns", "nope", "", "é"),
        ),
        text,
    ),
    "filter": filter_expression,
    "node": _of(*REGEXES),
    "service": _of(*REGEXES),
    "dc": _of("dc1", "dc1", "", "nowhere", "DC1"),
}
_NAMES = tuple(PARAMETERS)
_HEADERS: tuple[Header, ...] = (
    *((b"Cache-Control", value) for value in (b"max-age=5", b"no-cache", b"must-revalidate", b"max-age=-1")),
    *((b"Cache-Control", value) for value in (b"max-age=", b"max-age=99999999999999999999")),
    *((b"Cache-Control", value) for value in (b"stale-if-error=1,max-age=0", b",,=,;", b"max-age=1_0")),
    *((b"X-Consul-Token", value) for value in (b"t", b"", b"x" * 9_000, b"a\tb", b"\xff")),
    *((b"Authorization", value) for value in (b"Bearer x", b"Bearer \xff", b"bearer")),
    *((b"Authorization", value) for value in (b"Basic !!!", b"Bearer  ", b"\xff")),
    *((b"Accept", value) for value in (b"text/event-stream", b"text/event-stream", b"*/*", b";;,")),
    *((b"Accept", value) for value in (b"text/plain;version=0.0.4", b"\xff")),
    *((b"Accept-Encoding", value) for value in (b"gzip", b"gzip;q=0", b"*", b"br,,;q=x", b"gzip" * 500)),
    *((b"Content-Type", value) for value in (b"application/json", b"multipart/form-data; boundary=x")),
    *((b"Content-Type", value) for value in (b"text/plain; charset=nope", b";")),
    *((b"Content-Encoding", value) for value in (b"gzip", b"deflate", b"nope")),
    *((b"Expect", value) for value in (b"100-continue", b"200-ok", b"")),
    *((b"Last-Event-ID", value) for value in (b"1", b"-1", b"99999999999999999999999", b"x")),
    *((b"X-Forwarded-For", value) for value in (b"127.0.0.1", b"::1, x", b"x" * 500, b"\xff", b"1.2.3.4.5")),
    *((b"Connection", value) for value in (b"close", b"keep-alive, close", b"Upgrade", b"\xff")),
    *((b"Upgrade", value) for value in (b"websocket", b"h2c")),
    (b"Range", b"bytes=0-0,-1"),
    (b"If-None-Match", b"*"),
    (b"Cookie", b"a=b; ; =;\x01"[:9]),
    (b"Origin", b"null"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One request: what is sent in its place, in which pieces the body goes."""

    pattern: str
    method: str
    target: bytes
    headers: tuple[Header, ...] = ()
    body: bytes | None = None
    chunked: bool = False

    def wire(self) -> bytes:
        """All of it."""
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), self.target), b"Host: fuzz"]
        lines += [b"%s: %s" % header for header in self.headers]
        body = b""
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
            sent = self.body or b""
            pieces = [sent[:7], sent[7:]] if len(sent) > 7 else [sent]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"
        elif self.body is not None:
            lines.append(b"Content-Length: %d" % len(self.body))
            body = self.body
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def __repr__(self) -> str:
        """As something that can be sent again: `interfaces.py --again …`."""
        shown = f"{self.method} {self.target[:300]!r} {dict(self.headers)!r} {(self.body or b'')[:600]!r}"
        return f"{shown}\n  --again {base64.b85encode(self.wire()).decode()[:200_000]}"


_ROUTES = tuple(
    (route.pattern, (*(route.methods or ("GET", "PUT", "DELETE")) * 12, *METHODS))
    for route in (*ROUTES * 4, *ROUTES_LATER)
) + tuple((pattern, METHODS) for pattern in ("/", "/v1/", "/ui/", "/nope"))


def _escaped(value: bytes) -> bytes:
    return quote(value, safe="").encode()


def _query(choices: Choices) -> bytes:
    parts: list[bytes] = []
    for _ in range(choices.below(5)):
        name = one_of(choices, _NAMES)
        value = _escaped(name.encode()) + b"=" + _escaped(PARAMETERS[name](choices))
        match choices.below(12):
            case 11:
                parts.append(_escaped(name.encode()))
            case 10:
                parts += [value, value]
            case 9:
                parts.append(one_of(choices, (b"%zz", b"%", b"a;b", b"=", b"&", b"==", b"+", b"%00", b"a=%u0041")))
            case _:
                parts.append(value)
    return b"?" + b"&".join(parts) if parts else b""


def _path(choices: Choices, pattern: str) -> bytes:
    path = pattern.encode()
    if pattern.endswith("/"):
        suffix = one_of(choices, _JOINED).encode() if "/join/" in pattern else text(choices)
        path += quote(suffix, safe=one_of(choices, ("", "/"))).encode()
        if pattern == "/v1/query/":
            path += one_of(choices, (b"", b"", b"/execute", b"/explain", b"/nope"))
    if not once_in(choices, 20):
        return path
    return one_of(
        choices,
        (
            *(
                path + b"/",
                path + b"/x",
                b"/" + path,
                path.replace(b"/", b"//", 2),
                path.replace(b"/v1", b"/v1/./x/.."),
            ),
            *(path.upper(), b"http://x" + path, b"http:" + path, path + b"%2f..", path + b"#f", b"*", path[1:] or b"x"),
        ),
    )


def make_request(choices: Choices) -> Request:
    """Any request that a client library could be made to send; what is no HTTP at all is the business of `streams`."""
    pattern, methods = one_of(choices, _ROUTES)
    method = one_of(choices, methods)
    if (method, pattern) == ENDS_THE_AGENT:
        method = "POST"
    target = _path(choices, pattern) + _query(choices)
    headers = tuple(one_of(choices, _HEADERS) for _ in range(max(0, choices.below(4) - 1)))
    if method not in ("PUT", "POST", "PATCH", "DELETE") and not once_in(choices, 16):
        return Request(pattern, method, target, headers)
    return Request(pattern, method, target, headers, json_body(choices, pattern), chunked=once_in(choices, 8))


_MANY_CHARACTERS = "".join(map(chr, range(0x100, 0x900)))
"""Each makes an expression take a step that it has not taken before."""
_EXTERNAL = {
    "Node": "ext",
    "Address": "127.0.0.8",
    "NodeMeta": {"k": "v", "note": "x" * 500},
    "Service": {"Service": "web", "Tags": ["t1"], "Meta": {"k": "v"}},
    "Checks": [{"Name": name, "Status": "critical", "Output": _MANY_CHARACTERS} for name in "abcd"],
}
_LOCAL = {"Name": "web", "Tags": ["t1"], "Port": 80, "Check": {"TTL": "10m"}}


def _prepared(method: str, target: bytes, body: object) -> Request:
    return Request("", method, target, body=body if isinstance(body, bytes) else json.dumps(body).encode())


PREPARED: tuple[Request, ...] = (
    _prepared("PUT", b"/v1/kv/a/b", b"value"),
    _prepared("PUT", b"/v1/kv/%ff%00", b"\0\xff"),
    _prepared("PUT", b"/v1/session/create", {"TTL": "1h"}),
    _prepared("PUT", b"/v1/catalog/register", _EXTERNAL),
    _prepared("PUT", b"/v1/agent/service/register", _LOCAL),
    _prepared("POST", b"/v1/query", {"Name": "q", "Service": {"Service": "web"}}),
    _prepared("PUT", b"/v1/event/fire/deploy", b"payload"),
)
"""What makes KNOWN_NAMES exist."""
