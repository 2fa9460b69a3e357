"""Watches in agent files."""

from __future__ import annotations

import pytest

from consul_kernel.structs.watch import HttpHandlerConfig, WatchDefinition
from core.config.conftest import Load, Refuse

SCRIPTS = "enable_local_script_checks = true\n"
HTTP = WatchDefinition(
    type="service",
    service="web",
    tag="a",
    passingonly=True,
    handler_type="http",
    http_handler_config=HttpHandlerConfig(
        path="https://x/", method="PUT", timeout=1_500_000_000, header={"X": ["1", "2"]}, tls_skip_verify=True
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        """
        watches = [{
          type = "service", service = "web", tag = "a", passingonly = true, handler_type = "http"
          http_handler_config {
            path = "https://x/", method = "PUT", timeout = "1500ms", header = { X = ["1", "2"] }, tls_skip_verify = true
          }
        }]
        """,
        """
        {"watches": [{"type": "service", "service": "web", "tag": "a", "passingonly": true, "handler_type": "http",
          "http_handler_config": {"path": "https://x/", "method": "PUT", "timeout": "1.5s",
            "header": {"X": ["1", "2"]}, "tls_skip_verify": true}}]}
        """,
    ],
)
def test_a_watch_in_every_style(text: str, load: Load) -> None:
    assert load(text).watches == (HTTP,)


def test_what_is_left_out_is_consuls_default(load: Load) -> None:
    (watch,) = load(
        'watches { type = "nodes" handler_type = "http" http_handler_config { path = "http://x/" } }'
    ).watches
    config = watch.http_handler_config
    assert config is not None
    assert (config.method, config.timeout, config.tls_skip_verify) == ("POST", 10_000_000_000, False)


def test_watches_of_several_files_and_blocks_come_together(load: Load) -> None:
    first = SCRIPTS + 'watches { type = "nodes" args = ["a"] }\nwatches { type = "services" handler = "b" }'
    second = 'watches = [{ type = "service", service = "s", tag = ["a", "b"], args = ["c"] }]'
    config = load(first, second)
    assert "0.hcl:3: watches[1].handler: is deprecated; use args instead" in [str(found) for found in config.warnings]
    watches = config.watches
    assert [watch.type for watch in watches] == ["nodes", "services", "service"]
    assert [watch.tags() for watch in watches] == [[], [], ["a", "b"]]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (SCRIPTS + 'watches {\n args = ["a"]\n}', ["0.hcl:2: watches[0]: Watch type must be specified"]),
        (
            SCRIPTS + 'watches { type = "nodes" args = ["a"] }\nwatches { type = "key" key = "k" }',
            ["0.hcl:3: watches[1]: Must define a watch handler"],
        ),
        (
            SCRIPTS + 'watches {\n type = "key"\n pre_fixx = "k"\n args = "x"\n}',
            [
                '0.hcl:4: watches[0].pre_fixx: unknown key; did you mean "prefix"?',
                (
                    '0.hcl:5: watches[0].args: expected a list of texts, such as ["10.0.0.1", "10.0.0.2"], '
                    'got the text "x": write ["x"]'
                ),
            ],
        ),
        (
            'ports { http = -1 }\nwatches { type = "nodes" handler_type = "http" http_handler_config { path = "/" } }',
            ["0.hcl:2: watches: watch plans require an HTTP or HTTPS endpoint"],
        ),
    ],
)
def test_mistakes_are_named_by_place(text: str, errors: list[str], refuse: Refuse) -> None:
    assert refuse(text) == errors


def test_programs_of_the_agent_file_need_no_leave(load: Load) -> None:
    """Who may write the file may run programs anyway; Consul asks for none either."""
    (watch,) = load('watches { type = "nodes" args = ["a"] }').watches
    assert watch.runs_command()
