"""What the core asks the application in the middle of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consul_kernel.contracts.membership import AcceptMember, AcceptMembers, Member
from consul_kernel.contracts.membership_capabilities import AnswerQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Synchronous, and never raising: the driver guards them. Times in ms."""

    accept: AcceptMember | None = None
    accept_list: AcceptMembers | None = None
    answer_query: AnswerQuery | None = None
    reconnect_timeout_of: Callable[[Member], int | None] | None = None
