"""Whether a user event is meant for an agent, by the regular expressions that it carries.

Peers write them, so what they may cost is bounded: a search takes at most as many steps for a character as its program
has instructions, and all searches of one event together `MAX_STEPS`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from consul_kernel.filters import Regexp, RegexpError
from consul_kernel.structs.service import NodeService

logger = logging.getLogger(__name__)

MAX_STEPS = 5_000_000
"""A fifth of a second, at the worst."""


class TooManyStepsError(Exception):
    """What is searched is too long for so large an expression."""


class _Search:
    """One expression over many texts, of which each is looked at once."""

    def __init__(self, pattern: str, budget: _Budget) -> None:
        self._regexp = Regexp(pattern)
        self._budget = budget
        self._found: dict[str, bool] = {}

    def __call__(self, text: str) -> bool:
        found = self._found.get(text)
        if found is None:
            self._budget.spend((len(text) + 1) * self._regexp.size)
            found = self._found[text] = self._regexp.search(text)
        return found


class _Budget:
    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManyStepsError


def accepts(
    *,
    node: str,
    service: str,
    tag: str,
    node_name: str,
    services: Mapping[str, NodeService],
    max_steps: int = MAX_STEPS,
) -> bool:
    """Whether filters (empty for none) accept an agent of a name, with services by their ids.

    A filter that is no regular expression accepts nobody; nor do filters that would take more than `max_steps`. A tag
    is looked for among those of the services that fit.
    """
    budget = _Budget(max_steps)
    try:
        node_fits, service_fits, tag_fits = (
            _Search(pattern, budget) if pattern else None for pattern in (node, service, tag)
        )
        if node_fits is not None and not node_fits(node_name):
            return False
        if service_fits is None:
            return True
        fitting = (one for key, one in services.items() if service_fits(key) or service_fits(one.service))
        return any(tag_fits is None or _any_fits(tag_fits, one.tags or ()) for one in fitting)
    except RegexpError:
        return False
    except TooManyStepsError:
        logger.warning("an event's filters would take too long here, and it is taken for one that is not meant for us")
        return False


def _any_fits(search: _Search, texts: Iterable[str]) -> bool:
    return any(map(search, texts))
