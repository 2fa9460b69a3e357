"""The membership contract's section 11: queries."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.membership_capabilities import (
    IncomingQuery,
    QueryingMembership,
    QueryOutcome,
    QueryRequest,
)

from .clauses import ClauseError, require
from .membership_world import Agent, Check, PoolWorld, expect_membership_error
from .memory_network import LinkQuality

_PATIENCE_MS = 20_000
"""For questions that everybody answers: they must end long before."""


class Respondent:
    """An application that notes what it is asked and answers with its name, or not at all."""

    def __init__(self, name: str, *, silent: bool = False) -> None:
        self._answer = None if silent else f"answer of {name}".encode()
        self.asked: list[IncomingQuery] = []

    def __call__(self, query: IncomingQuery) -> bytes | None:
        self.asked.append(query)
        return self._answer


async def _pool(world: PoolWorld, respondents: dict[str, Respondent], **tags: dict[str, str]) -> list[Agent]:
    agents = [
        await world.add(name, tags=tags.get(name, {}), answer_query=respondent)
        for name, respondent in respondents.items()
    ]
    for agent in agents[1:]:
        await agent.membership.join([agents[0].address])
    await world.until(
        lambda: all(set(agent.statuses()) == set(respondents) for agent in agents), "2.2: everyone knows everyone"
    )
    return agents


def _respondents(*names: str) -> dict[str, Respondent]:
    return {name: Respondent(name) for name in names}


def _answers(*names: str) -> dict[str, bytes]:
    return {name: f"answer of {name}".encode() for name in names}


async def _ask(agent: Agent, request: QueryRequest) -> QueryOutcome:
    membership = agent.membership
    if not isinstance(membership, QueryingMembership):
        raise ClauseError("11: the descriptor names the capability `queries`, and there is no method `query`")
    return await membership.query(request)


def _now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)


async def check_11_1_everyone_alive_answers(world: PoolWorld) -> None:
    """11.1: without filters everybody alive is asked once, the asker included."""
    respondents = _respondents("a", "b", "c", "d")
    agents = await _pool(world, respondents)
    outcome = await _ask(agents[0], QueryRequest(name="uptime", payload=b"\x00\xff", timeout_ms=_PATIENCE_MS))
    require(dict(outcome.responses) == _answers("a", "b", "c", "d"), "11.1: an answer from each")
    require(outcome.acks == (), "11.1: acknowledgements that nobody asked for")
    await asyncio.sleep(10)
    for name, respondent in respondents.items():
        require(len(respondent.asked) == 1, f"11.1: {name} was asked {len(respondent.asked)} times")
        (query,) = respondent.asked
        asked = (query.name, query.payload, query.source)
        require(asked == ("uptime", b"\x00\xff", "a"), f"11.1: {name} was asked {asked}")


async def check_11_1_filters_choose_who_is_asked(world: PoolWorld) -> None:
    """11.1: names exactly, tags by an expression anywhere in the value, a missing tag is "", all must fit."""
    respondents = _respondents("web1", "web2", "db1", "web")
    agents = await _pool(
        world, respondents, web1={"role": "web-server"}, web2={"role": "web"}, db1={"role": "db", "zone": "north"}
    )
    cases: tuple[tuple[QueryRequest, set[str]], ...] = (
        (QueryRequest(name="n", nodes=["web", "db1", "nobody"]), {"web", "db1"}),
        (QueryRequest(name="t", tags={"role": "web"}), {"web1", "web2"}),
        (QueryRequest(name="t", tags={"role": "^web$"}), {"web2"}),
        (QueryRequest(name="m", tags={"zone": "^$"}), {"web1", "web2", "web"}),
        (QueryRequest(name="all", nodes=["web1", "db1"], tags={"role": "(?i)SERVER|d.", "zone": "^$"}), {"web1"}),
        (QueryRequest(name="none", nodes=["web"], tags={"role": "x"}), set()),
    )
    for request, names in cases:
        outcome = await _ask(agents[0], request)
        require(dict(outcome.responses) == _answers(*names), f"11.1: {request} was answered by {outcome.responses}")
        for name, respondent in respondents.items():
            was_asked = request.name in [query.name for query in respondent.asked]
            require(was_asked is (name in names), f"11.1: {request}: {name} was asked: {was_asked}")
            respondent.asked.clear()


async def check_11_2_everyone_acknowledges(world: PoolWorld) -> None:
    """11.2: with `request_ack` every member asked acknowledges, also where the application is silent or at fault."""
    respondents = _respondents("a", "b", "c")
    respondents["b"] = Respondent("b", silent=True)
    agents = await _pool(world, respondents)
    plain = await world.add("d")
    await plain.membership.join([agents[0].address])
    await world.until_status(agents, "d", MemberStatus.ALIVE, "11.2: d is in the pool")
    outcome = await _ask(agents[0], QueryRequest(name="q", request_ack=True))
    require(sorted(outcome.acks) == ["a", "b", "c", "d"], "11.2: an acknowledgement from each")
    require(dict(outcome.responses) == _answers("a", "c"), "11.2: no answer from the silent ones")
    outcome = await _ask(agents[0], QueryRequest(name="q", nodes=["b"], request_ack=True))
    require(outcome.acks == ("b",), "11.2: who is not asked does not acknowledge")


async def check_11_3_ends_when_all_have_answered(world: PoolWorld) -> None:
    """11.3: a query ends when everybody alive has answered, and otherwise when its time is over."""
    respondents = _respondents("a", "b", "c")
    agents = await _pool(world, respondents)
    started = _now_ms()
    await _ask(agents[0], QueryRequest(name="q", timeout_ms=_PATIENCE_MS, request_ack=True))
    require(_now_ms() - started < _PATIENCE_MS // 2, "11.3: it waited although all had answered")
    agents.append(await world.add("d", answer_query=Respondent("d", silent=True)))
    await agents[3].membership.join([agents[0].address])
    await world.until_status(agents, "d", MemberStatus.ALIVE, "11.3: d is in the pool")
    started = _now_ms()
    outcome = await _ask(agents[0], QueryRequest(name="q", timeout_ms=3_000))
    require(2_900 <= _now_ms() - started <= 3_500, "11.3: it did not end when its time was over")
    require(dict(outcome.responses) == _answers("a", "b", "c"), "11.3: what had come by then")


async def check_11_3_repeated_answers_count_once(world: PoolWorld) -> None:
    """11.3: each member counts once, whatever arrives repeatedly; answers of one query are none of another's."""
    agents = await _pool(world, _respondents("a", "b", "c"))
    world.network.set_quality(LinkQuality(duplicate_rate=1.0, reorder_rate=0.3))
    outcomes = await asyncio.gather(
        *(
            _ask(agents[0], QueryRequest(name=f"q{number}", request_ack=True, relay_factor=1, timeout_ms=_PATIENCE_MS))
            for number in range(5)
        )
    )
    for outcome in outcomes:
        require(sorted(outcome.acks) == ["a", "b", "c"], f"11.3: acknowledgements {outcome.acks}")
        require(dict(outcome.responses) == _answers("a", "b", "c"), "11.3: one answer each")


async def check_11_3_late_answers_are_counted_and_dropped(world: PoolWorld) -> None:
    """11.3: an answer after the end changes nothing any more and is counted."""
    agents = await _pool(world, _respondents("a", "b"))
    world.network.set_quality(LinkQuality(delay_ms_min=900, delay_ms_max=900), agents[1].host, agents[0].host)
    outcome = await _ask(agents[0], QueryRequest(name="q", timeout_ms=600))
    require(dict(outcome.responses) == _answers("a"), "11.3: only what came in time")
    await world.until(
        lambda: agents[0].membership.stats().get("query_responses_late", "0") != "0", "11.3: the late answer is counted"
    )
    require(dict(outcome.responses) == _answers("a"), "11.3: the outcome changed after the end")


async def check_11_4_relays_replace_the_direct_way(world: PoolWorld) -> None:
    """11.4: with `relay_factor`, answers arrive although the direct way from the answerer loses them."""
    respondents = _respondents("a", "b", "c", "d")
    agents = await _pool(world, respondents)
    world.network.partition(agents[1].host, agents[0].host, one_way=True)
    request = QueryRequest(name="q", timeout_ms=1_500, request_ack=True)
    outcome = await _ask(agents[0], request)
    require("b" not in outcome.responses, "11.4: the direct way loses nothing, this check shows nothing")
    outcome = await _ask(agents[0], QueryRequest(name="q", timeout_ms=_PATIENCE_MS, request_ack=True, relay_factor=2))
    require(dict(outcome.responses) == _answers("a", "b", "c", "d"), "11.4: answers by way of others")
    require(sorted(outcome.acks) == ["a", "b", "c", "d"], "11.4: acknowledgements by way of others")


async def check_11_5_too_large_a_question_is_refused(world: PoolWorld) -> None:
    """11.5: a question that is too large raises MembershipError and reaches nobody."""
    respondents = _respondents("a", "b")
    agents = await _pool(world, respondents)
    too_large = QueryRequest(name="big", payload=bytes(100_000))
    await expect_membership_error(_ask(agents[0], too_large), "11.5: 100,000 bytes")
    await agents[0].membership.aclose()
    await expect_membership_error(_ask(agents[0], QueryRequest(name="q")), "11.5: a closed membership asks nothing")
    await asyncio.sleep(5)
    require(not any(respondent.asked for respondent in respondents.values()), "11.5: it reached somebody")


QUERY_CHECKS: tuple[Check, ...] = (
    check_11_1_everyone_alive_answers,
    check_11_1_filters_choose_who_is_asked,
    check_11_2_everyone_acknowledges,
    check_11_3_ends_when_all_have_answered,
    check_11_3_repeated_answers_count_once,
    check_11_3_late_answers_are_counted_and_dropped,
    check_11_4_relays_replace_the_direct_way,
    check_11_5_too_large_a_question_is_refused,
)
