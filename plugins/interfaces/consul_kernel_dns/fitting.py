"""Making an answer as large as its asker takes, and no larger."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.structs.settings import DnsSettings

from .pool import Reply
from .query import FLAG_TRUNCATED, Query
from .wire import Record, RecordType, opt_record, plain_size, write_message

PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 65_467
MAX_TCP_BYTES = 65_523
MAX_UDP_ANSWERS = 8
_CLIENT_SUBNET_OPTION = 8


def udp_size(query: Query) -> int:
    """Bytes that an answer over UDP may have."""
    return PLAIN_UDP_BYTES if query.udp_bytes is None else min(max(query.udp_bytes, PLAIN_UDP_BYTES), MAX_UDP_BYTES)


def most_answers(query: Query, settings: DnsSettings) -> int:
    """How many answers can be shown at all: over UDP without a larger EDNS size only a handful."""
    if query.is_tcp or udp_size(query) > PLAIN_UDP_BYTES:
        return 4096
    return max(1, min(MAX_UDP_ANSWERS, settings.udp_answer_limit))


def write_fitting(query: Query, reply: Reply, settings: DnsSettings, *, recursion_available: bool) -> bytearray:
    """The message with id 0: cut to the size that the asker takes, flagged TC when the settings want that.

    An answer that is cut loses its OPT record and the additional records that its answers do not need, and a
    cut plain UDP answer must fit without compression too, as Consul's does.
    """
    flags = query.reply_flags(
        reply.rcode, authoritative=reply.is_authoritative, recursion_available=recursion_available
    )
    compress = not settings.disable_compression
    answers, authority, extras = reply.answers, reply.authority, reply.extras
    if query.udp_bytes is not None:
        extras = [*extras, _opt(query)]
    is_cut = reply.is_drawn_short
    most = most_answers(query, settings)
    if len(answers) > most:
        answers, is_cut = answers[:most], True
    if is_cut and extras:
        extras = _needed(answers, reply.extras)
    max_bytes = MAX_TCP_BYTES if query.is_tcp else udp_size(query)
    by_plain_size = is_cut or not compress
    message = write_message(flags, query.question, answers, authority, extras, compress=compress)
    size = plain_size(query.question, answers, authority, extras) if by_plain_size else len(message)
    if size > max_bytes and len(answers) > 1:
        is_cut = True
        fitting = _Fitting(query, reply, max_bytes, compress=not by_plain_size)
        answers = answers[: fitting.count_that_fits(len(answers))]
        message = write_message(flags, query.question, answers, (), _needed(answers, reply.extras), compress=compress)
    if is_cut and settings.enable_truncate:
        message[2] |= FLAG_TRUNCATED >> 8
    return message


class _Fitting:
    """Finds how many answers fit."""

    def __init__(self, query: Query, reply: Reply, max_bytes: int, *, compress: bool) -> None:
        self._question = query.question
        self._reply = reply
        self._max_bytes = max_bytes
        self._compress = compress

    def count_that_fits(self, count: int) -> int:
        """The largest number of answers, below `count` and at least one, whose message is small enough."""
        low, high = 1, count
        while high - low > 1:
            middle = (low + high) // 2
            if self._size(middle) <= self._max_bytes:
                low = middle
            else:
                high = middle
        return low

    def _size(self, count: int) -> int:
        answers = self._reply.answers[:count]
        extras = _needed(answers, self._reply.extras)
        if self._compress:
            return len(write_message(0, self._question, answers, (), extras, compress=True))
        return plain_size(self._question, answers, (), extras)


def _needed(answers: Sequence[Record], extras: Sequence[Record]) -> list[Record]:
    """One additional record for each target of the answers, and for what an alias among them leads to."""
    by_owner: dict[bytes, Record] = {}
    for record in extras:
        by_owner.setdefault(record.owner.lower(), record)
    needed: list[Record] = []
    for answer in answers:
        target = answer.target.lower() if answer.type == RecordType.SRV else b""
        while target in by_owner:
            record = by_owner.pop(target)
            needed.append(record)
            target = record.target.lower() if record.type == RecordType.CNAME else b""
    return needed


def _opt(query: Query) -> Record:
    """The OPT record of an answer: the asker's size, and the subnet with scope 0 (the answer suits everybody)."""
    subnet = query.client_subnet
    options = b""
    if len(subnet) >= 4:
        subnet = subnet[:3] + b"\0" + subnet[4:]
        options = _CLIENT_SUBNET_OPTION.to_bytes(2, "big") + len(subnet).to_bytes(2, "big") + subnet
    return opt_record(query.udp_bytes or PLAIN_UDP_BYTES, options)
