"""Which endpoint answers a path, by the rules of Go's ServeMux: exact paths, else the longest prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .exchange import Endpoint


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern and its endpoints by method. A pattern that ends in `/` matches everything below.

    `otherwise` answers every other method, where an endpoint itself decides which there are.
    """

    pattern: str
    endpoints: Mapping[str, Endpoint]
    otherwise: Endpoint | None = None
    reads_at_once: bool = False
    """Whether GET awaits nothing but reads (`reads`), which see to it themselves that they have a task to wait in."""
    methods: tuple[str, ...] = field(init=False)
    """In the order in which `Allow` names them."""

    @property
    def label(self) -> str:
        """The pattern as metrics name it: `v1.kv._` for `/v1/kv/`."""
        return ".".join(part or "_" for part in self.pattern.split("/")[1:])

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.endpoints))


class Router:
    """Finds routes. Looking up costs a dictionary access for each slash of the longest pattern like the path."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = {route.pattern: route for route in routes}
        prefixes = [route.pattern for route in routes if route.pattern.endswith("/")]
        self._above = {above for pattern in prefixes for above in _above(pattern)}
        """What is above a pattern: the search goes on there, and ends anywhere else."""

    def lacks_slash(self, path: str) -> bool:
        """Whether only the path with a slash at its end is a pattern; Go's ServeMux redirects to that."""
        return f"{path}/" in self._routes and path not in self._routes

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route and the rest of the path behind its pattern; None when nothing matches."""
        routes = self._routes
        route = routes.get(path)
        if route is not None:
            return route, ""
        found: tuple[Route, str] | None = None
        end = 0
        while end := path.find("/", end) + 1:
            prefix = path[:end]
            route = routes.get(prefix)
            if route is not None:
                found = route, path[end:]
            if prefix not in self._above:
                break
        return found


def _above(pattern: str) -> list[str]:
    """Every prefix of a pattern that ends in a slash, without the pattern itself."""
    return [pattern[: position + 1] for position, char in enumerate(pattern[:-1]) if char == "/"]
