"""HCL files with the line of every value, by python-hcl2's parse tree.

Consul's files are HCL 1: values, lists and blocks, no expressions. Whatever HCL 2 adds to that is refused with a word
on how to write it; what only HCL 1 has is rewritten first (`hcl1`). Text that begins with `{` is JSON, as in HCL 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .hcl1 import mask_texts, rewrite
from .json_source import MAX_DEPTH, parse_json
from .problems import ConfigProblem, SourcePosition, SourceSyntaxError
from .tree import Entry, Listing, Node, Scalar, Table

if TYPE_CHECKING:
    from lark import Token, Tree
    from lark.exceptions import UnexpectedInput

_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_KEY_RULES = frozenset({"identifier", "keyword", "literal_value"})
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"'])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.S
)
_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
_HEREDOC = re.compile(r"<<(-?)([^\r\n]*)\r?\n(.*?)([ \t]*)\2\s*\Z", re.S)


def parse_hcl(text: str, source: str) -> Table:
    """The body of a file; empty text is an empty body. Raises SourceSyntaxError."""
    if text.lstrip().startswith("{"):
        return parse_json(text, source)
    if not text.strip():
        return Table((), SourcePosition(source, 1, 1))
    import hcl2  # the parser costs 0.1 s to import: not for agents without files
    from lark.exceptions import LarkError, UnexpectedInput

    for rewritten in (False, True):
        attempt = rewrite(text) if rewritten else text
        try:
            tree = hcl2.parses_to_tree(mask_texts(attempt) if rewritten else attempt)
        except UnexpectedInput as error:
            failure = _explain(error, attempt, source)
        except (LarkError, RecursionError) as error:
            failure = ConfigProblem(f"HCL syntax: {error}", SourcePosition(source))
        else:
            return _TreeReader(attempt + "\n", source).read(tree)
    raise SourceSyntaxError(failure)


def _explain(error: UnexpectedInput, text: str, source: str) -> ConfigProblem:
    """A parser's complaint in words that help."""
    lines = text.split("\n")
    line = error.line if isinstance(error.line, int) and error.line > 0 else len(lines)
    column = error.column if isinstance(error.column, int) and error.column > 0 else 1
    rest = lines[line - 1][column - 1 :].strip("\r") if line <= len(lines) else ""
    while line <= len(lines) and not lines[line - 1].strip() and line > 1 and not rest.strip():
        line -= 1  # the parser noticed at the end; the last line with text says more
    return ConfigProblem(f"HCL syntax: {_hint(error, rest)}", SourcePosition(source, line, column))


_HINTS = (
    ("'", "texts stand in double quotes"),
    ('"', "a key stands before = or {, a text behind ="),
    (":", "write key = value"),
    (";", "keys stand on lines of their own, without ;"),
    (".", "a key has no dots; write block { key = value }"),
    ("<<", "a heredoc has no end: its mark must stand alone on a line"),
    ("=", "one key stands before ="),
    ("}", "there is no { for this }, or a value is missing before it"),
    ("]", "there is no [ for this ], or a value is missing before it"),
)


def _hint(error: UnexpectedInput, rest: str) -> str:
    expected: set[str] = set(getattr(error, "expected", None) or getattr(error, "accepts", None) or ())
    if "STRING_CHARS" in expected:
        if rest.startswith(("${", "%{")) or "IF" in expected:
            return "${…} and %{…} are not evaluated; write the value itself"
        return "a text has no closing quote on its line"
    rest = rest.strip()
    if not rest:
        return "the line or the file ends too early; is a value, a } or a ] missing?"
    shown = rest if len(rest) <= 24 else rest[:24] + "…"
    for start, hint in _HINTS:
        if rest.startswith(start):
            return f"unexpected {shown} ({hint})"
    return f"unexpected {shown}"


class _TreeReader:
    """Turns python-hcl2's tree into tables, lists and scalars."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source

    def read(self, tree: Tree[Token]) -> Table:
        body = next((child for child in _rules(tree) if child.data == "body"), None)
        position = SourcePosition(self._source, 1, 1)
        return self._body(body, position, 0) if body is not None else Table((), position)

    def _position(self, node: Tree[Token]) -> SourcePosition:
        return SourcePosition(self._source, getattr(node.meta, "line", 0), getattr(node.meta, "column", 0))

    def _refuse(self, message: str, node: Tree[Token]) -> SourceSyntaxError:
        return SourceSyntaxError(ConfigProblem(message, self._position(node)))

    def _source_of(self, node: Tree[Token]) -> str:
        return self._text[node.meta.start_pos : node.meta.end_pos]

    def _body(self, body: Tree[Token], position: SourcePosition, depth: int) -> Table:
        if depth > MAX_DEPTH:
            raise SourceSyntaxError(ConfigProblem(f"blocks are nested deeper than {MAX_DEPTH} levels", position))
        entries: list[Entry] = []
        for child in _rules(body):
            if child.data == "attribute":
                key, value = _rules(child)[:2]
                entries.append(Entry(self._key(key), self._value(value, depth + 1), self._position(key)))
            elif child.data == "block":
                entries.append(self._block(child, depth))
        return Table(tuple(entries), position)

    def _block(self, block: Tree[Token], depth: int) -> Entry:
        position = self._position(block)
        names: list[str] = []
        inner = Table((), position)
        for child in _rules(block):
            if child.data == "body":
                inner = self._body(child, position, depth + 1)
            elif child.data != "new_line_or_comment":
                names.append(self._key(child))
        return Entry(names[0], inner, position, tuple(names[1:]))

    def _key(self, node: Tree[Token]) -> str:
        if node.data == "string":
            return self._string(node)
        return self._source_of(node).strip()

    def _value(self, node: Tree[Token], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._refuse(f"values are nested deeper than {MAX_DEPTH} levels", node)
        if node.data == "expr_term":
            inner = [child for child in _rules(node) if child.data != "new_line_or_comment"]
            if len(inner) != 1:
                raise self._refuse("expressions are not evaluated; write the value itself", node)
            return self._value(inner[0], depth)
        position = self._position(node)
        if node.data == "tuple":
            items = [child for child in _rules(node) if child.data != "new_line_or_comment"]
            return Listing(tuple(self._value(item, depth + 1) for item in items), position)
        if node.data == "object":
            return self._object(node, depth)
        if node.data in {"string", "template_string"}:
            return Scalar(self._string(node), position)
        return Scalar(self._plain_value(node), position)

    def _object(self, node: Tree[Token], depth: int) -> Table:
        entries: list[Entry] = []
        for element in _rules(node):
            if element.data != "object_elem":
                continue
            key, value = _rules(element)[:2]
            entries.append(Entry(self._object_key(key), self._value(value, depth + 1), self._position(key)))
        return Table(tuple(entries), self._position(node))

    def _object_key(self, node: Tree[Token]) -> str:
        while len(inner := _rules(node)) == 1 and node.data not in _KEY_RULES | {"string"}:
            node = inner[0]
        if node.data == "string":
            return self._string(node)
        return self._source_of(node).strip()

    def _plain_value(self, node: Tree[Token]) -> str | int | float | bool | None:
        text = self._source_of(node).strip()
        if node.data in {"heredoc_template", "heredoc_template_trim"}:
            return _heredoc(self._source_of(node))
        if node.data == "literal_value":
            return _LITERALS[text]
        if node.data in {"int_lit", "float_lit", "unary_op"}:
            number = _number(text.replace(" ", ""))
            if number is None:
                raise self._refuse(f"{text} is not a number that can be read here", node)
            return number
        if node.data == "identifier":
            raise self._refuse(f'texts stand in quotes: write "{text}"', node)
        raise self._refuse("expressions are not evaluated; write the value itself", node)

    def _string(self, node: Tree[Token]) -> str:
        quoted = self._source_of(node)

        def decode(match: re.Match[str]) -> str:
            simple, two, octal, four, eight, unknown = match.groups()
            if simple is not None:
                return _SIMPLE_ESCAPES[simple]
            code = int(octal, 8) if octal is not None else int(two or four or eight or "-1", 16)
            if unknown is not None or not 0 <= code <= 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._refuse(f"unknown escape {match.group()} in a text; a backslash is written \\\\", node)
            return chr(code)

        return _ESCAPE.sub(decode, quoted[1:-1]) if "\\" in quoted else quoted[1:-1]


def _rules(tree: Tree[Token]) -> list[Tree[Token]]:
    """The children that are rules rather than tokens."""
    return [child for child in tree.children if hasattr(child, "children")]  # type: ignore[misc]


def _number(text: str) -> int | float | None:
    digits = text.lstrip("-")
    if len(digits) > 30 or (digits.startswith("0") and digits[1:2].isdigit()):
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _heredoc(text: str) -> str:
    """The lines between the marks. With `<<-` the closing mark's indentation is taken off, where all lines have it."""
    match = _HEREDOC.match(text)
    if match is None:
        return text
    trim, _, content, indent = match.groups()
    lines = content.split("\n")
    if trim and indent and all(line.startswith(indent) or not line for line in lines):
        lines = [line.removeprefix(indent) for line in lines]
    return "\n".join(lines)
