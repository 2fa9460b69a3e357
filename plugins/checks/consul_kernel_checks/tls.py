"""TLS of checks: against the system's authorities, or none, and under another name where that is given."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import lru_cache

HTTP2 = "h2"
"""The name of HTTP/2 in ALPN (RFC 9113 §3.2)."""


@lru_cache(maxsize=8)
def tls_context(*, skip_verify: bool, protocols: Sequence[str] = ()) -> ssl.SSLContext:
    """A client's context; made once, since reading the authorities takes milliseconds."""
    context = ssl.create_default_context()
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def certificate_failure(error: ssl.SSLError) -> str:
    """What is wrong with a server's TLS, without OpenSSL's codes."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    return f"tls: {error.reason or error}"
