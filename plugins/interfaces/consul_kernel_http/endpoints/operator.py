"""`/v1/operator/keyring`: the gossip keys of every pool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from consul_kernel.contracts.membership_capabilities import KeyOperation
from consul_kernel.structs.keyring import KeyringRequest, KeyringResponse
from consul_kernel.structs.methods import INTERNAL_KEYRING_OPERATION
from consul_kernel.structs.multierror import several
from consul_kernel.structs.record import Record
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.go_numbers import GoNumberError, parse_bool, parse_int
from consul_kernel_http.views.keyring import keyring_response_view

MAX_RELAY_FACTOR = 5
SERVERS_ONLY = "keyring operations must run against a server node"

_BAD_REQUEST = "Bad request: "


class KeyringArgs(Record, kw_only=True):
    """The body of a change; all but the key may stand in the query as well, which then counts."""

    key: str = ""
    token: str = ""
    relay_factor: int = 0
    local_only: bool = False


async def list_keys(exchange: Exchange) -> Answer:
    """On how many members of each pool each key is."""
    responses = await _operate(exchange, KeyOperation.LIST, KeyringArgs())
    return exchange.json([keyring_response_view(response) for response in responses])


async def install_key(exchange: Exchange) -> Answer:
    """Give every member a key that opens."""
    return await _change(exchange, KeyOperation.INSTALL)


async def use_key(exchange: Exchange) -> Answer:
    """Have every member seal with a key that is installed."""
    return await _change(exchange, KeyOperation.USE)


async def remove_key(exchange: Exchange) -> Answer:
    """Have every member forget a key."""
    return await _change(exchange, KeyOperation.REMOVE)


async def _change(exchange: Exchange, operation: KeyOperation) -> Answer:
    try:
        args = await decode_body(exchange, KeyringArgs)
    except BadRequestError as error:
        raise BadRequestError(f"{_BAD_REQUEST}{error.text}") from None
    await _operate(exchange, operation, args)
    return exchange.empty()


async def _operate(exchange: Exchange, operation: KeyOperation, args: KeyringArgs) -> Sequence[KeyringResponse]:
    """Make the call. HttpError where any pool has something to complain of, though others may have been changed."""
    request = KeyringRequest(
        datacenter=exchange.datacenter(),
        token=exchange.token(),
        operation=operation.value,
        key=args.key,
        relay_factor=_relay_factor(exchange, args),
        local_only=_local_only(exchange, operation, args),
    )
    if not exchange.agent.is_server:
        raise HttpError(500, SERVERS_ONLY)
    reply = await exchange.agent.call(INTERNAL_KEYRING_OPERATION, request)
    responses = reply.responses or []
    errors = list(_errors(responses))
    if errors:
        raise HttpError(500, several(errors))
    return responses


def _relay_factor(exchange: Exchange, args: KeyringArgs) -> int:
    text = exchange.query.get("relay-factor")
    factor = args.relay_factor
    if text:
        try:
            factor = parse_int(text)
        except GoNumberError as error:
            raise _bad(f"Error parsing relay factor: {error}") from None
    if not 0 <= factor <= MAX_RELAY_FACTOR:
        raise _bad(f"Invalid relay-factor: Relay factor must be in range: [0, {MAX_RELAY_FACTOR}]")
    return factor


def _local_only(exchange: Exchange, operation: KeyOperation, args: KeyringArgs) -> bool:
    text = exchange.query.get("local-only")
    if not text:
        return args.local_only
    try:
        local_only = parse_bool(text)
    except GoNumberError as error:
        raise _bad(f"Error parsing local-only: {error}") from None
    if local_only and operation is not KeyOperation.LIST:
        raise _bad("Invalid use of local-only: local-only can only be set for list requests")
    return local_only


def _bad(text: str) -> BadRequestError:
    return BadRequestError(f"{_BAD_REQUEST}{text}")


def _errors(responses: Iterable[KeyringResponse]) -> Iterator[str]:
    """What each pool complains of, and then each of its members."""
    for response in responses:
        if response.error:
            yield f"{'WAN' if response.wan else f'{response.datacenter} (LAN)'} error: {response.error}"
            for name, message in sorted((response.messages or {}).items()):
                yield f"{name}: {message}"
