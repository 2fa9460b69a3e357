"""Runs the kit on the installed `toy_zone_answer`, without a test framework."""

from __future__ import annotations

from toy_zone_answer import asker_zone, same_zone  # type: ignore[import-not-found]  # installed where this is run

from consul_kernel.testing.dns_answer_kit import CHECKS, DnsAnswerCase

ZONES: tuple[dict[str, str], ...] = ({"zone": "a"}, {"zone": "b"}, {})


def main() -> None:
    """Every check of the kit, on both parts."""
    cases = [
        DnsAnswerCase(
            plugin=same_zone.PLUGIN,
            config=same_zone.SameZoneConfig(),
            node_meta={"zone": "a"},
            instance_meta=ZONES,
        ),
        DnsAnswerCase(
            plugin=asker_zone.PLUGIN,
            config=asker_zone.AskerZoneConfig(subnets={"10.0.0.0/8": "b"}, records={"web": "192.0.2.1"}),
            instance_meta=ZONES,
        ),
    ]
    for case in cases:
        for check in CHECKS:
            check(case)
    print(f"{len(CHECKS) * len(cases)} checks passed")  # noqa: T201


if __name__ == "__main__":
    main()
