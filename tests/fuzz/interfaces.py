"""Asks a server and a client agent everything that HTTP and DNS can carry, and says what must not happen and did.

    python tests/fuzz/interfaces.py [--seconds 600] [--seed 1] [--only KIND]
    python tests/fuzz/interfaces.py --again CASE

The agents run in this process, on loopback. Every round of some hundred cases is made from the seed and its own number.
Nothing may be logged with a traceback, no answer be one that Consul would not give, no turn of the loop take long,
nothing stay behind. Exits with 1 after a fault, which is shown with the case; `--again` sends that alone.
Kinds: requests; drawn (requests of which the smallest that shows a fault is looked for); streams (octets that are no
HTTP, and clients that hardly send); questions and packets (DNS, right and wrong); configs (agent files, only read).
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parent.parent))

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.campaign import Campaign
from fuzz.choices import drawn
from fuzz.dns_answers import ask_udp_once
from fuzz.http_answers import exchange
from fuzz.http_requests import Request, make_request
from fuzz.victim_agents import VictimAgents, resident_bytes

CASES = {"requests": 1_000, "drawn": 100, "streams": 100, "questions": 500, "packets": 500, "configs": 20}
"""By kind: of one round."""
GROWTH_MAX_BYTES = 96 << 20
"""From the fifth round on: what services and keys are made by then are names of the grammar, which come again."""
_SETTLED_ROUNDS = 10


def draw_requests(campaign: Campaign, cases: int, number: int | None) -> None:
    """Requests by Hypothesis: always the same ones without a number."""

    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        derandomize=number is None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn(make_request))
    def one(case: Request) -> None:
        campaign.ask(case)

    if number is not None:
        one = seed(number)(one)
    campaign.prepare()
    one()


def fuzz(seconds: float, first: int, kinds: tuple[str, ...]) -> int:
    """Rounds until the time is over, or a fault."""
    with tempfile.TemporaryDirectory() as home:
        agents = VictimAgents(Path(home)).start()
        try:
            with Campaign(agents) as campaign:
                _rounds(campaign, seconds, first, kinds)
        except Exception:  # noqa: BLE001 - every fault is what we look for
            traceback.print_exc()
            return 1
        finally:
            agents.close()
    for name, times in sorted(campaign.counters.items()):
        print(f"  {name:44} {times:>10,}")
    return 0


def _rounds(campaign: Campaign, seconds: float, first: int, kinds: tuple[str, ...]) -> None:
    begun_s, number, settled, resident = time.monotonic(), 0, 0, 0
    while (spent_s := time.monotonic() - begun_s) < seconds:
        kind = kinds[number % len(kinds)]
        if number % _SETTLED_ROUNDS == 0:
            resident = resident_bytes()
            settled = settled or resident * (number > 0)
            grown = resident - settled if settled else 0
            print(f"{spent_s:6.0f} s, {number} rounds, memory +{grown >> 20} MiB", file=sys.stderr, flush=True)
            assert grown < GROWTH_MAX_BYTES, f"the process grew by {grown:,} bytes"
        try:
            if kind == "drawn":
                draw_requests(campaign, CASES[kind], first * 1_000_000 + number)
            else:
                campaign.round(kind, CASES[kind], f"{first}/{number}")
        except Exception as error:
            error.add_note(f"round {number} of --seed {first}, {kind}")
            raise
        number += 1


def again(case: str) -> int:
    """Send one case to fresh agents, and show what they say."""
    with tempfile.TemporaryDirectory() as home:
        agents = VictimAgents(Path(home)).start()
        try:
            with Campaign(agents) as campaign:
                campaign.prepare()
                if case.startswith("dns:"):
                    for dns_address in agents.dns_addresses:
                        print(ask_udp_once(dns_address, base64.b85decode(case.removeprefix("dns:"))))
                else:
                    wire = base64.b85decode(case)
                    for address in agents.http_addresses:
                        print(exchange(address, wire, method=wire.split(b" ", 1)[0].decode()))
        finally:
            agents.close()
    return 0


def main() -> int:
    """Fuzz, or repeat a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=tuple(CASES))
    parser.add_argument("--again", metavar="CASE")
    arguments = parser.parse_args()
    warnings.simplefilter("error")  # as in the tests: what is not awaited or closed is a fault
    if arguments.again:
        return again(arguments.again)
    return fuzz(arguments.seconds, arguments.seed, (arguments.only,) if arguments.only else tuple(CASES))


if __name__ == "__main__":
    sys.exit(main())
