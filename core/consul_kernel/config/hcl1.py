"""What HCL 1 allows and HCL 2 does not, rewritten where its meaning is plain.

Consul reads HCL 1, python-hcl2 reads HCL 2. Files of Consul's users differ from HCL 2 in few ways:

- quoted keys: `"datacenter" = "dc1"`, and in blocks `service_ttl { "*" = "5s" }`;
- blocks inside of objects: `services = [{ check { … } }]`;
- keys with dots: `telemetry { disable_compat_1.9 = true }`;
- commas between the keys of a block;
- `${…}` in texts, which HCL 1 leaves as it is.

`rewrite` changes only the first four, never adds or removes a line, and so leaves line numbers as they are. It's used
for files that HCL 2 has refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*|//[^\n]*|/\*.*?\*/)
    | (?P<heredoc><<-?(?P<mark>[A-Za-z][\w.-]*)\r?\n.*?^[ \t]*(?P=mark)[ \t]*$)
    | (?P<string>"(?:\$\{[^}\n]*\}|[^"\\\n]|\\.)*")
    | (?P<word>[A-Za-z_][\w.-]*)
    | (?P<open>[{\[])
    | (?P<close>[}\]])
    | (?P<mark_sign>[=:,])
    | (?P<newline>\n)
    | (?P<space>[ \t\r]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_SILENT = frozenset({"comment", "space", "newline"})


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    significant_before: int
    """Index of the token before that is neither space nor comment; -1 for none."""


@dataclass(slots=True)
class _Group:
    """What is open: a `[`, or a `{` read as a body (`key = value` lines and blocks) or as an object."""

    opener: str
    is_object: bool


def rewrite(text: str) -> str:
    """The same text in HCL 2, or the text itself where there is nothing to rewrite."""
    tokens = _tokens(text)
    needing_objects = _braces_with_odd_keys(tokens)
    stack = [_Group("{", is_object=False)]
    output: list[str] = []
    for index, token in enumerate(tokens):
        if token.kind == "open":
            group, prefix = _open(tokens, index, stack[-1], index in needing_objects)
            stack.append(group)
            output.append(prefix + token.text)
        elif token.kind == "close":
            if len(stack) > 1:
                stack.pop()
            output.append(token.text)
        else:
            output.append(_rewrite_plain(tokens, index, stack[-1]))
    return "".join(output)


def mask_texts(text: str) -> str:
    """The text, as long as before, with nothing left inside of quotes that HCL 2 would evaluate."""

    def mask(match: re.Match[str]) -> str:
        if match.lastgroup != "string" or not ("${" in match.group() or "%{" in match.group()):
            return match.group()
        return f'"{"x" * (len(match.group()) - 2)}"'

    return _TOKEN.sub(mask, text)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    before = -1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "mark":  # the heredoc's delimiter is the last group that matched
            kind = "heredoc"
        tokens.append(_Token(kind, match.group(), before))
        if kind not in _SILENT:
            before = len(tokens) - 1
    return tokens


def _is_key(tokens: list[_Token], index: int) -> bool:
    """Whether a word or string is followed by `=`, or by `{` with or without labels: a key rather than a value."""
    for following in tokens[index + 1 :]:
        if following.kind in {"space", "comment", "string"}:
            continue
        return following.text in {"=", "{"}
    return False


def _is_odd_key(tokens: list[_Token], index: int) -> bool:
    """Whether a token is a key that only an object of HCL 2 may have: `"*"`, or one with dots."""
    token = tokens[index]
    if token.kind == "string":
        is_name = _NAME.match(token.text[1:-1])
    elif token.kind == "word":
        is_name = _NAME.match(token.text)
    else:
        return False
    is_value = token.significant_before >= 0 and tokens[token.significant_before].text == "="
    return not is_name and not is_value and _is_key(tokens, index)


def _braces_with_odd_keys(tokens: list[_Token]) -> set[int]:
    """The `{` that directly hold a key which only an object may have."""
    found: set[int] = set()
    open_indexes: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind == "open":
            open_indexes.append(index)
        elif token.kind == "close" and open_indexes:
            open_indexes.pop()
        elif open_indexes and tokens[open_indexes[-1]].text == "{" and _is_odd_key(tokens, index):
            found.add(open_indexes[-1])
    return found


def _open(tokens: list[_Token], index: int, parent: _Group, must_be_object: bool) -> tuple[_Group, str]:
    """The group that a bracket opens, and what to write before it."""
    token = tokens[index]
    if token.text == "[":
        return _Group("[", is_object=True), ""
    before = tokens[token.significant_before] if token.significant_before >= 0 else None
    is_value = before is None or before.text in {"=", ":", "[", ","} or parent.opener == "["
    if is_value:
        return _Group("{", is_object=True), ""
    is_object = must_be_object or parent.is_object
    return _Group("{", is_object), "= " if is_object else ""


def _rewrite_plain(tokens: list[_Token], index: int, group: _Group) -> str:
    token = tokens[index]
    if group.is_object and group.opener == "{" and token.kind == "word" and _is_odd_key(tokens, index):
        return f'"{token.text}"'
    if group.is_object or group.opener == "[":
        return token.text
    if token.text == ",":
        return " "
    if token.kind == "string" and _NAME.match(token.text[1:-1]):
        before = tokens[token.significant_before] if token.significant_before >= 0 else None
        starts_item = before is None or (before.kind != "word" and before.text != "=")
        if starts_item and _is_key(tokens, index):
            return token.text[1:-1]
    return token.text
