"""What a record says of its fields: the docstring right behind each."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping

import msgspec


def key_docs(record: type[msgspec.Struct]) -> Mapping[str, str]:
    """The docstring behind each field of a record and of those it is built on, by the field's name, in one line.

    Empty where the source is not at hand.
    """
    docs: dict[str, str] = {}
    for base in reversed(record.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            try:
                docs.update(_docs_in(base))
            except OSError:
                continue
    return docs


def _docs_in(record: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(definition, ast.ClassDef)
    for field, behind in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(behind, ast.Expr):
            text = behind.value
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield field.target.id, " ".join(text.value.split())
