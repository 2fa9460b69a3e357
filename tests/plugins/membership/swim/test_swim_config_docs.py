"""The meanings of the block's keys name the numbers that the profiles have."""

from __future__ import annotations

import re

from consul_kernel.cli.plugin_reference import key_docs
from consul_kernel_swim.config import _KNOBS, SwimConfig
from consul_kernel_swim.core.settings import PROFILES


def told_profiles(doc: str) -> dict[str, int]:
    """The numbers of a meaning's last sentence, by profile."""
    (text,) = re.findall(r"Profiles: (.*)\.$", doc)
    if text.isdigit():
        return dict.fromkeys(PROFILES, int(text))
    return {name: int(number) for name, number in (part.split() for part in text.split(", "))}


def test_the_numbers_are_the_profiles() -> None:
    docs = key_docs(SwimConfig)
    knobs = {name for name in _KNOBS if type(getattr(SwimConfig(), name)) is int}
    assert len(knobs) >= 20
    for name in knobs:
        assert told_profiles(docs[name]) == {
            profile: getattr(settings, name) for profile, settings in PROFILES.items()
        }, name
