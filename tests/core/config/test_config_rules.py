"""What must hold between settings, and the texts of what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consul_kernel.config.model import AgentConfig

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('node_name = " "', "0.hcl:1: node_name cannot be empty"),
        ('node_id = "x"', '0.hcl:1: node_id: "x" is not a UUID; leave it out to have one made'),
        (
            'datacenter = "dc 1"',
            '0.hcl:1: datacenter can only contain lowercase alphanumeric, - or _ characters. received: "dc 1"',
        ),
        ('datacenter = ""', "0.hcl:1: datacenter cannot be empty"),
        ('alt_domain = "service.x"', "0.hcl:1: alt_domain cannot start with {service,connect,node,query,addr,dc1}"),
        ("bootstrap = true", "0.hcl:1: bootstrap: 'bootstrap = true' requires 'server = true'"),
        ("bootstrap_expect = 3", "0.hcl:1: bootstrap_expect: 'bootstrap_expect > 0' requires 'server = true'"),
        ("bootstrap_expect = -1", "0.hcl:1: bootstrap_expect cannot be -1. Must be greater than or equal to zero"),
        (
            "performance { raft_multiplier = 11 }",
            "0.hcl:1: performance.raft_multiplier cannot be 11. Must be between 1 and 10",
        ),
        (
            "performance { raft_multiplier = 0 }",
            "0.hcl:1: performance.raft_multiplier cannot be 0. Must be between 1 and 10",
        ),
        (
            'dns_config { recursor_strategy = "fastest" }',
            '0.hcl:1: dns_config.recursor_strategy: expected "sequential" or "random", got \'fastest\'',
        ),
        (
            "dns_config { udp_answer_limit = -1 }",
            "0.hcl:1: dns_config.udp_answer_limit cannot be -1. Must be greater than or equal to zero",
        ),
        (
            "check_output_max_size = 0",
            (
                "0.hcl:1: check_output_max_size must be positive, to discard check output use the discard_check_output "
                "flag"
            ),
        ),
        ('reconnect_timeout = "7h"', "0.hcl:1: reconnect_timeout must be >= 8h0m0s"),
        (
            'server = true\ndata_dir = "/tmp"\nadvertise_reconnect_timeout = "15m"',
            "0.hcl:3: advertise_reconnect_timeout can only be used on a client",
        ),
        ('advertise_reconnect_timeout = "-1s"', "0.hcl:1: advertise_reconnect_timeout: must not be negative"),
        ('retry_interval = "0s"', "0.hcl:1: retry_interval: must be greater than zero"),
        ("raft_trailing_logs = -1", "0.hcl:1: raft_trailing_logs: must not be negative"),
        (
            'node_meta { "a b" = "x" }',
            "0.hcl:1: node_meta invalid: Couldn't load metadata pair ('a b', 'x'): Key contains invalid characters",
        ),
        ("ports { http = 8600 }", "0.hcl:1: ports.http: http address 127.0.0.1:8600 already configured for dns"),
        ("ports { serf_lan = -1 }", "0.hcl:1: ports.serf_lan: cannot be disabled: agents need it"),
        ('recursors = ["0.0.0.0"]', "0.hcl:1: recursors: DNS recursor address cannot be 0.0.0.0, :: or [::]"),
        (
            'retry_join = ["provider=aws tag_key=x"]',
            (
                "0.hcl:1: retry_join: this version does not ask cloud providers for addresses; list the addresses "
                "themselves"
            ),
        ),
        ('log_level = "loud"', '0.hcl:1: log_level: "loud" is no level; expected trace, debug, info, warn or err'),
        (
            'http_config { allow_write_http_from = ["10.0.0.0/99"] }',
            "0.hcl:1: http_config.allow_write_http_from: invalid cidr: 10.0.0.0/99",
        ),
        ('data_dir = "/etc/passwd"', '0.hcl:1: data_dir "/etc/passwd" is not a directory'),
        (
            'data_dir = "/etc/passwd/x"',
            '0.hcl:1: data_dir "/etc/passwd/x" cannot be made: "/etc/passwd" is not a directory',
        ),
        ('data_dir = "a\\u0000b"', "0.hcl:1: data_dir has a zero byte in its name"),
        (
            'check { name = "x" args = ["true"] interval = "1s" }',
            (
                "0.hcl:1: checks: Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or "
                "'enable_local_script_checks' to true"
            ),
        ),
        (
            "acl { enabled = true }",
            (
                "0.hcl:1: acl.enabled: this version does not do ACLs yet and will not start as if it did; "
                "remove or disable it"
            ),
        ),
        (
            "verify_incoming = true",
            (
                "0.hcl:1: verify_incoming: this version does not do TLS yet and will not start as if it did; "
                "remove or disable it"
            ),
        ),
    ],
)
def test_refuses(text: str, error: str, refuse: Refuse) -> None:
    assert refuse(text) == [error]


def test_a_server_needs_a_place_for_its_data(refuse: Refuse) -> None:
    assert refuse("server = true") == [
        'data_dir cannot be empty; name a folder, use -dev, or choose store "memory" {} to keep nothing'
    ]


def test_switches_of_what_is_not_built_may_be_off(load: Load) -> None:
    load("acl { enabled = false }\nverify_incoming = false\nports { https = -1 }\nauto_encrypt { tls = false }")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "bootstrap = true\nbootstrap_expect = 3",
            "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive",
        ),
        ("ports { server = 8301 }", "serf_lan address 0.0.0.0:8301 already configured for server"),
        ("ports { server = -1 }", "cannot be disabled: agents need it"),
    ],
)
def test_refuses_of_servers(text: str, error: str, server: str, refuse: Refuse) -> None:
    (line,) = refuse(server + text)
    assert line.endswith(error)


def test_clients_may_do_without_a_server_port(load: Load) -> None:
    assert load("ports { server = -1 }").ports["server"] == -1


def test_dev_mode_does_not_expect_servers(refuse: Refuse) -> None:
    assert refuse("bootstrap_expect = 3", dev_mode=True) == [
        "0.hcl:1: bootstrap_expect: 'bootstrap_expect > 0' not allowed in dev mode"
    ]


@pytest.mark.parametrize(
    ("text", "bootstrap", "expect", "warning"),
    [
        ("", False, 0, None),
        ("bootstrap = true", True, 0, "bootstrap = true: do not enable unless necessary"),
        ("bootstrap_expect = 1", True, 0, "BootstrapExpect is set to 1; this is the same as Bootstrap mode."),
        (
            "bootstrap_expect = 2",
            False,
            2,
            "bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance.",
        ),
        ("bootstrap_expect = 3", False, 3, None),
        (
            "bootstrap_expect = 4",
            False,
            4,
            (
                "bootstrap_expect is even number: A cluster with an even number of servers does not achieve optimum "
                "fault tolerance."
            ),
        ),
    ],
)
def test_bootstrapping(text: str, bootstrap: bool, expect: int, warning: str | None, server: str, load: Load) -> None:
    config = load(server + text)
    assert (config.bootstrap, config.bootstrap_expect) == (bootstrap, expect)
    assert [item.message for item in config.warnings] == ([warning] if warning else [])


def test_names_that_dns_cannot_carry_are_noticed(load: Load) -> None:
    for name, reason in (("a_b", "invalid characters"), ("a" * 64, "too long")):
        (warning, *_) = load(f'data_dir = "/tmp"\nnode_name = "{name}"').warnings
        assert f'Node name "{name}" will not be discoverable via DNS due to' in warning.message
        assert reason in warning.message


def test_names_are_lowered_and_trimmed(load: Load) -> None:
    config = load('datacenter = "DC9"\nnode_name = " n "\ndomain = "Corp."\nalt_domain = "x"')
    assert (config.datacenter, config.primary_datacenter, config.node_name) == ("dc9", "dc9", "n")
    assert (config.dns.domain, config.dns.alt_domain) == ("corp.", "x.")


def test_leaving_depends_on_the_mode_unless_a_file_says(load: Load, server: str) -> None:
    assert (load().leave_on_terminate, load().skip_leave_on_interrupt) == (True, False)
    assert (load(server).leave_on_terminate, load(server).skip_leave_on_interrupt) == (False, True)
    config = load(server, "leave_on_terminate = true\nskip_leave_on_interrupt = false")
    assert (config.leave_on_terminate, config.skip_leave_on_interrupt) == (True, False)


def test_script_checks_may_be_allowed_for_files_only(load: Load) -> None:
    check = 'check { name = "x" args = ["true"] interval = "1s" }\n'
    local = load(check + "enable_local_script_checks = true")
    assert (local.enable_script_checks, local.enable_local_script_checks) == (False, True)
    everywhere = load(check + "enable_script_checks = true")
    assert (everywhere.enable_script_checks, everywhere.enable_local_script_checks) == (True, True)
    assert "lets everybody who reaches HTTP run commands" in "".join(map(str, everywhere.warnings))
    guarded = load("enable_script_checks = true", 'http_config { allow_write_http_from = ["127.0.0.0/8"] }')
    assert "run commands" not in "".join(map(str, guarded.warnings))


def test_a_data_dir_that_is_not_there_yet_is_fine(load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert load(f'data_dir = "{folder}"').data_dir == folder
    assert not folder.exists()


def test_settings_reach_the_interfaces(load: Load) -> None:
    config = load(
        """
        recursors = ["8.8.8.8", "1.1.1.1", "8.8.8.8"]
        dns_config {
          allow_stale = false
          node_ttl = "5s"
          service_ttl { "*" = "10s", "web" = "1m" }
          enable_additional_node_meta_txt = false
          recursor_timeout = "1500ms"
          recursor_strategy = "random"
          use_cache = true
          cache_max_age = "3s"
          soa { min_ttl = 7 }
        }
        http_config { response_headers { "X-Frame" = "no" } block_endpoints = ["/v1/kv"] }
        limits { kv_max_value_size = 1000 http_max_conns_per_client = 5 rpc_rate = 2 }
        default_query_time = "1m"
        """
    )
    dns, http, limits = config.dns, config.http, config.limits
    assert dns.recursors == ("8.8.8.8", "1.1.1.1")
    assert (dns.allow_stale, dns.node_ttl_s, dns.service_ttl_s) == (False, 5, {"*": 10, "web": 60})
    assert (dns.recursor_strategy, dns.use_cache, dns.cache_max_age_ms) == ("random", True, 3000)
    assert (dns.node_meta_txt, dns.recursor_timeout_ms, dns.soa.min_ttl_s, dns.soa.retry_s) == (False, 1500, 7, 600)
    assert (http.response_headers, http.block_endpoints, http.default_query_time_ms) == (
        {"X-Frame": "no"},
        ("/v1/kv",),
        60_000,
    )
    assert (limits.kv_max_value_size, limits.http_max_conns_per_client, limits.rpc_rate) == (1000, 5, 2.0)
