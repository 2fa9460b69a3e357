"""Records from request bodies, with Go's error texts."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.decoding import decode_record

from .exchange import Exchange
from .failures import BadRequestError

RecordT = TypeVar("RecordT", bound=msgspec.Struct)


async def decode_body(exchange: Exchange, record: type[RecordT]) -> RecordT:
    """Read and decode the body. BadRequestError for JSON that is malformed or does not fit the record."""
    body = await exchange.json_body()
    try:
        return decode_record(record, body, claim=exchange.agent.local.claim_keys)
    except RequestError as error:
        raise BadRequestError(f"Request decode failed: {error}") from None
