"""docs/state.md tells the tables and figures as they are."""

from __future__ import annotations

import re
from pathlib import Path

from consul_kernel.filters.evaluate import CACHED_FILTERS
from consul_kernel.server.queries.evaluation import MAX_TEXT
from consul_kernel.server.queries.template import MAX_NAME
from consul_kernel.server.snapshots import MAX_SAVES
from consul_kernel.snapshot.archive import MAX_STATE_BYTES
from consul_kernel.snapshot.archive_reader import OUTPUT_BYTES
from consul_kernel.snapshot.records import MAX_RECORD_BYTES
from consul_kernel.snapshot.restorer import ROWS_BYTES
from consul_kernel.state.autopilot import autopilot
from consul_kernel.state.catalog import CACHED_INSTANCES, CACHED_SERVICES
from consul_kernel.state.config_entries import config_entries
from consul_kernel.state.coordinates import coordinates
from consul_kernel.state.kv import CACHED_ENTRIES, MAX_KV_KEY_BYTES
from consul_kernel.state.lock_delays import MAX_DELAYS
from consul_kernel.state.machine_table import MACHINE_TABLE
from consul_kernel.state.prepared_queries import queries, queries_by_name, queries_by_session
from consul_kernel.state.restore import RESTORE_TABLE
from consul_kernel.state.sessions import sessions, sessions_by_check, sessions_by_node
from consul_kernel.state.unserved import UNSERVED_TABLE
from consul_kernel.state.watches import MAX_WATCHES
from core.state.driver import StateDriver
from core.state.test_machine import busy

PAGE = (Path(__file__).parents[3] / "docs" / "state.md").read_text()


RESTORED = {
    sessions.name,
    sessions_by_node.name,
    sessions_by_check.name,
    queries.name,
    queries_by_name.name,
    queries_by_session.name,
    config_entries.name,
    autopilot.name,
    coordinates.name,
    "kvs.session",
    UNSERVED_TABLE,
    MACHINE_TABLE,
    RESTORE_TABLE,
}


def test_every_table_is_told(driver: StateDriver) -> None:
    busy(driver, 5)
    section = PAGE.split("## Tables")[1].split("\n## ")[0]
    told = re.findall(r"^\| `([a-z._]+)` \|", section, re.MULTILINE)
    assert set(told) == set(driver.dump()) | RESTORED
    assert len(told) == len(set(told))


def test_the_figures_are_those_of_the_code() -> None:
    for figure in (MAX_WATCHES, CACHED_ENTRIES, CACHED_SERVICES, CACHED_INSTANCES, MAX_DELAYS, MAX_NAME, MAX_TEXT):
        assert f"{figure:,}" in PAGE
    assert f"{MAX_KV_KEY_BYTES} octets" in PAGE
    assert f"the last {CACHED_FILTERS}" in PAGE
    assert f"At most {MAX_SAVES} archives" in PAGE
    assert f"may have {(MAX_STATE_BYTES + 1) >> 30} GiB, one record {MAX_RECORD_BYTES >> 20} MiB" in PAGE
    assert f"as it comes, {OUTPUT_BYTES >> 10} KiB at a time" in PAGE
    assert f"about {ROWS_BYTES >> 10} KiB" in PAGE
