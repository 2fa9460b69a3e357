"""docs/state.md tells the tables and figures as they are."""

from __future__ import annotations

import re
from pathlib import Path

from consul_kernel.filters.evaluate import CACHED_FILTERS
from consul_kernel.state.catalog import CACHED_INSTANCES, CACHED_SERVICES
from consul_kernel.state.kv import CACHED_ENTRIES, MAX_KV_KEY_BYTES
from consul_kernel.state.watches import MAX_WATCHES
from core.state.driver import StateDriver
from core.state.test_machine import busy

PAGE = (Path(__file__).parents[3] / "docs" / "state.md").read_text()


def test_every_table_is_told(driver: StateDriver) -> None:
    busy(driver, 3)
    section = PAGE.split("## Tables")[1].split("\n## ")[0]
    told = set(re.findall(r"^\| `([a-z.]+)` \|", section, re.MULTILINE))
    assert told == set(driver.dump())


def test_the_figures_are_those_of_the_code() -> None:
    for figure in (MAX_WATCHES, CACHED_ENTRIES, CACHED_SERVICES, CACHED_INSTANCES):
        assert f"{figure:,}" in PAGE
    assert f"{MAX_KV_KEY_BYTES} octets" in PAGE
    assert f"the last {CACHED_FILTERS}" in PAGE
