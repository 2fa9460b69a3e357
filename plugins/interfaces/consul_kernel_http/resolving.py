"""What request targets mean, remembered for those that are asked again and again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .routing import Route, Router
from .target import EMPTY_QUERY, Query, TargetError, clean_path, escape_path, split_target

KEPT_TARGETS = 4096
LONGEST_KEPT = 256
"""Octets. Most targets are shorter; longer ones are parsed each time, so that what is kept stays below a few MiB."""
_SECRET = "token="


@dataclass(frozen=True, slots=True)
class Target:
    """One request target, parsed and routed. Shared by requests, so nothing of it is ever changed."""

    path: str
    """Unescaped."""
    query: Query | None
    """None where it holds an escape that Go refuses."""
    route: Route | None
    """None where nothing answers the path."""
    suffix: str
    """What follows the route's pattern, unescaped."""
    moved_to: str = ""
    """The target to go to instead, escaped, where the path is not a clean one."""


class Resolver:
    """Resolves raw targets by the routes. Those that may hold a token are not kept."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._kept = lru_cache(maxsize=KEPT_TARGETS)(self._resolve)

    def resolve(self, raw: str) -> Target:
        """The target of a request line. Raises TargetError where it has no path, or a bad escape in it."""
        if len(raw) <= LONGEST_KEPT and _SECRET not in raw:
            return self._kept(raw)
        return self._resolve(raw)

    def _resolve(self, raw: str) -> Target:
        path, raw_query = split_target(raw)
        cleaned = clean_path(path)
        if self._router.lacks_slash(cleaned):
            cleaned += "/"
        if cleaned != path:
            location = escape_path(cleaned) + (f"?{raw_query}" if raw_query else "")
            return Target(path, None, None, "", moved_to=location)
        route, suffix = self._router.find(path) or (None, "")
        return Target(path, _query(raw_query), route, suffix)


def _query(raw: str) -> Query | None:
    try:
        return Query(raw) if raw else EMPTY_QUERY
    except TargetError:
        return None
