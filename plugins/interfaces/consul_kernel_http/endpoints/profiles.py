"""`/debug/pprof`: as much of Go's profiles as a Python process has, where `enable_debug` allows it."""

from __future__ import annotations

from consul_kernel_http.answer import TEXT, Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.profiles import Profiler, held_types, stacks

from .disabled import ACL_DISABLED

_INDEX = """\
/debug/pprof/

goroutine  the stacks of all threads and tasks
heap       how many objects there are of each type
profile    where the time of the event loop goes: ?seconds=30, stacks in the collapsed form of flame graphs

This agent is a Python process. Its profiles are texts; there are no others.
"""
_DEFAULT_SECONDS = 30
_MAX_SECONDS = 600
_MOST_DIGITS = 4
profiler = Profiler()


async def profile(exchange: Exchange) -> Answer:
    """A profile by its name."""
    if not exchange.site.http.enable_debug:
        # For whoever may administer the agent, by an ACL: there is none.
        return _text(exchange, 401, ACL_DISABLED)
    match exchange.suffix:
        case "":
            return _text(exchange, 200, _INDEX)
        case "goroutine":
            return _text(exchange, 200, stacks())
        case "heap":
            return _text(exchange, 200, held_types())
        case "profile":
            return await _profile(exchange)
    return _text(exchange, 404, "Unknown profile\n")


async def _profile(exchange: Exchange) -> Answer:
    given = exchange.query.get("seconds")
    seconds = min(int(given[:_MOST_DIGITS]), _MAX_SECONDS) if given.isdecimal() else 0
    text = await profiler.profile(seconds or _DEFAULT_SECONDS)
    if text is None:
        return _text(exchange, 500, "Could not enable CPU profiling: cpu profiling already in use\n")
    return _text(exchange, 200, text)


def _text(exchange: Exchange, status: int, text: str) -> Answer:
    return Answer(status, exchange.site.template.lines(), TEXT, text.encode())
