"""What is switched off: ACLs and the mesh answer as Consul does without them."""

from __future__ import annotations

from consul_kernel.structs.record import Record
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError

ACL_DISABLED = "ACL support disabled"
CONNECT_DISABLED = "Connect must be enabled in order to use this endpoint"
_SPIFFE = "spiffe://"


class AuthorizeRequest(Record, kw_only=True):
    """The body of `connect/authorize`."""

    target: str = ""
    client_cert_uri: str = ""
    client_cert_serial: str = ""


async def acl(exchange: Exchange) -> Answer:
    """There are no ACLs."""
    raise HttpError(401, ACL_DISABLED)


async def connect_certificates(exchange: Exchange) -> Answer:
    """There is no certificate authority."""
    raise HttpError(500, CONNECT_DISABLED)


async def connect_authorize(exchange: Exchange) -> Answer:
    """Nobody has forbidden any service to reach another: the default, which is to allow, decides."""
    request = await decode_body(exchange, AuthorizeRequest)
    if not request.target:
        raise BadRequestError("Bad request: Target service must be specified")
    if not request.client_cert_uri.startswith(_SPIFFE):
        raise BadRequestError("Bad request: ClientCertURI not a valid Connect identifier")
    return exchange.json({"Authorized": True, "Reason": "Default behavior configured by ACLs"})
