"""Which endpoint answers a path, by the rules of Go's ServeMux: exact paths, else the longest prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .exchange import Endpoint


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern and its endpoints by method. A pattern that ends in `/` matches everything below."""

    pattern: str
    endpoints: Mapping[str, Endpoint]
    methods: tuple[str, ...] = field(init=False)
    """In the order in which `Allow` names them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.endpoints))


class Router:
    """Finds routes. Looking up costs one dictionary access for each slash of the path, at most."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = {route.pattern: route for route in routes}
        self._deepest = max((route.pattern.count("/") for route in routes), default=0)

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route and the rest of the path behind its pattern; None when nothing matches."""
        routes = self._routes
        route = routes.get(path)
        if route is not None:
            return route, ""
        found: tuple[Route, str] | None = None
        end = 0
        for _ in range(self._deepest):
            end = path.find("/", end) + 1
            if not end:
                break
            route = routes.get(path[:end])
            if route is not None:
                found = route, path[end:]
        return found
