"""HCL and JSON texts become values with positions, or one clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.config.hcl import parse_hcl
from consul_kernel.config.json_source import parse_json
from consul_kernel.config.problems import SourceSyntaxError
from consul_kernel.config.tree import to_plain


def hcl(text: str) -> Any:
    return to_plain(parse_hcl(text, "f.hcl")).value


def hcl_error(text: str) -> str:
    with pytest.raises(SourceSyntaxError) as caught:
        parse_hcl(text, "f.hcl")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("# nothing\n\n// more\n/* and\nmore */\n", {}),
        (
            'a = "x"\nb = 1\nc = -1\nd = -12\ne = 1.5\nf = true\ng = false',
            {"a": "x", "b": 1, "c": -1, "d": -12, "e": 1.5, "f": True, "g": False},
        ),
        ("a = []\nb = [1, 2,]\nc = {}", {"a": [], "b": [1, 2], "c": {}}),
        ("a { b = 1 }\na { c = 2 }", {"a": {"b": 1, "c": 2}}),
        ('store "disk" { path = "/x" }', {"store": {"disk": {"path": "/x"}}}),
        (r'a = "q\"\\\n\t\u00e9\x41"', {"a": 'q"\\\n\té\x41'}),
        ('a = "${b} $c %d {{ GetPrivateIP }}"', {"a": "${b} $c %d {{ GetPrivateIP }}"}),
        ('a = "{{ GetInterfaceIP \\"eth0\\" }}"', {"a": '{{ GetInterfaceIP "eth0" }}'}),
        ("a = <<EOF\n one\ntwo\nEOF\nb = 1", {"a": " one\ntwo\n", "b": 1}),
        ("a = <<-EOF\n   one\n    two\n   EOF\nb = 1", {"a": "one\n two\n", "b": 1}),
        ('a = [{ b = 1, c = "x" }, { b = 2 }]', {"a": [{"b": 1, "c": "x"}, {"b": 2}]}),
        ('a = { "x-y" = 1, "z" = [true] }', {"a": {"x-y": 1, "z": [True]}}),
        ("a = 1\r\nb {\r\n  c = 2\r\n}\r\n", {"a": 1, "b": {"c": 2}}),
        ("in = 1\nfor = 2", {"in": 1, "for": 2}),
    ],
)
def test_reads_hcl(text: str, value: object) -> None:
    assert hcl(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"datacenter" = "dc1"', {"datacenter": "dc1"}),
        ('"ports" { "http" = 1 }', {"ports": {"http": 1}}),
        ('service_ttl { "*" = "5s", "web" = "1s" }', {"service_ttl": {"*": "5s", "web": "1s"}}),
        ('h { r {\n "X-Y: z" = "1"\n} }', {"h": {"r": {"X-Y: z": "1"}}}),
        ("telemetry { disable_compat_1.9 = true }", {"telemetry": {"disable_compat_1.9": True}}),
        ("ports { dns = 1, http = 2, }", {"ports": {"dns": 1, "http": 2}}),
        ('services = [{ name = "w" check { ttl = "1s" } }]', {"services": [{"name": "w", "check": {"ttl": "1s"}}]}),
        ('a = "${ b c }"\nd = "%{x} ${"y"}z"', {"a": "${ b c }", "d": '%{x} ${"y"}z'}),
        ('"store" "memory" {}', {"store": {"memory": {}}}),
        (' {"a": {"b": [1]}} ', {"a": {"b": [1]}}),
        ('a = "1, \\"b\\" = 2"\n"c" = "# no, comment" # one, two\n', {"a": '1, "b" = 2', "c": "# no, comment"}),
        ('a = <<X\n"q" = 1, 2\nX\n"b" = 1', {"a": '"q" = 1, 2\n', "b": 1}),
    ],
)
def test_reads_the_hcl_1_of_consuls_users(text: str, value: object) -> None:
    assert hcl(text) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a = foo", 'f.hcl:1: texts stand in quotes: write "foo"'),
        ("\na = 1 + 2", "f.hcl:2: expressions are not evaluated; write the value itself"),
        ("a = max(1)", "f.hcl:1: expressions are not evaluated; write the value itself"),
        ("a = b.c", "f.hcl:1: expressions are not evaluated; write the value itself"),
        ("a = 010", "f.hcl:1: 010 is not a number that can be read here"),
        (r'a = "\q"', "f.hcl:1: unknown escape \\q in a text; a backslash is written \\\\"),
        ('a = 1\nb = "x', "f.hcl:2: HCL syntax: a text has no closing quote on its line"),
        ("a {\n b = 1\n", "f.hcl:2: HCL syntax: the line or the file ends too early; is a value, a } or a ] missing?"),
        ("a = 1\n}", "f.hcl:2: HCL syntax: unexpected } (there is no { for this }, or a value is missing before it)"),
        ("a: 1", "f.hcl:1: HCL syntax: unexpected : 1 (write key = value)"),
        ("a = 'x'", "f.hcl:1: HCL syntax: unexpected 'x' (texts stand in double quotes)"),
        ("a.b = 1", "f.hcl:1: HCL syntax: unexpected .b = 1 (a key has no dots; write block { key = value })"),
        (
            "a = <<X\ny\n",
            "f.hcl:1: HCL syntax: unexpected <<X (a heredoc has no end: its mark must stand alone on a line)",
        ),
        ('{"a" 1}', "f.hcl:1: JSON syntax: Expecting ':' delimiter"),
    ],
)
def test_says_where_hcl_is_wrong_and_how_to_write_it(text: str, error: str) -> None:
    assert hcl_error(text) == error


def test_values_know_their_lines() -> None:
    plain = to_plain(parse_hcl('a = 1\nb {\n  c = [\n    "x",\n    "y"\n  ]\n}\n', "f.hcl"))
    lines = {path: position.line for path, position in plain.positions.items()}
    assert lines == {"a": 1, "b": 2, "b.c": 3, "b.c[0]": 4, "b.c[1]": 5}


def test_json_values_know_their_lines() -> None:
    plain = to_plain(parse_json('{\n "a": 1,\n "b": {"c": [\n  "x]",\n  null]\n }\n}', "f.json"))
    lines = {path: position.line for path, position in plain.positions.items()}
    assert plain.value == {"a": 1, "b": {"c": ["x]", None]}}
    assert lines == {"a": 2, "b": 3, "b.c": 3, "b.c[0]": 4, "b.c[1]": 5}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[1]", "f.json:1: JSON syntax: a configuration is an object"),
        ('{\n"a" 1}', "f.json:2: JSON syntax: Expecting ':' delimiter"),
        ('{"NaN": "Infinity",\n"a": NaN}', "f.json:2: JSON syntax: NaN is not JSON"),
        ('{"a":\n\n-Infinity, "b": NaN}', "f.json:3: JSON syntax: -Infinity is not JSON"),
        ('{"a": "' + "9" * 10_000 + '",\n"b": ' + "9" * 10_000 + "}", "f.json:2: JSON syntax: a number is too long"),
        ('{"a": "[", "b":' + "\n[" * 20_000 + "]" * 20_000 + "}", "f.json:65: values are nested deeper than 64 levels"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "f.json:1: values are nested deeper than 64 levels"),
    ],
)
def test_says_where_json_is_wrong(text: str, error: str) -> None:
    with pytest.raises(SourceSyntaxError) as caught:
        parse_json(text, "f.json")
    assert str(caught.value).startswith(error)


def test_deep_hcl_is_refused() -> None:
    assert "nested deeper" in hcl_error("a { " * 200 + "}" * 200)
    assert "nested deeper" in hcl_error("a = " + "[" * 200 + "]" * 200)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True)
@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_the_standard_library_reads_it(value: dict[str, Any], indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent)
    assert to_plain(parse_json(text, "f.json")).value == json.loads(text)


_WORDS = """a b.c "k" "*" = : , { } [ ] "x" 1 -2.5 true /* */ ${ %{ \\ ' null ( ) é for in ? == $ <<E"""
_PIECES = st.sampled_from([*_WORDS.split(" "), "\n", " ", "#c\n", "E\n", "\x00"])


@settings(max_examples=300, derandomize=True)
@given(st.lists(_PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_any_text_is_hcl_or_one_error_with_its_place(text: str) -> None:
    try:
        parse_hcl(text, "f.hcl")
    except SourceSyntaxError as error:
        position = error.problem.position
        message = error.problem.message
    else:
        return
    assert message
    assert position is not None
    assert 0 <= position.line <= text.count("\n") + 2
