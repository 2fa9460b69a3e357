"""What msgspec says of a value that does not fit, in the words of people."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args, get_origin

_WORDS = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "a text in quotes",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a block",
    "`null`": "null",
    "`Path`": "a path in quotes",
    " >= ": " of at least ",
    " <= ": " of at most ",
    " < ": " below ",
    " > ": " above ",
}


def wording(text: str) -> str:
    """A message of msgspec's: `Expected a whole number of at least 3`, with a small letter at its beginning."""
    for term, word in _WORDS.items():
        text = text.replace(term, word)
    return text[:1].lower() + text[1:]


def choices(hint: Any) -> str:
    """What a `Literal` takes: `expected one of "lan", "wan"`; "" for other types."""
    if get_origin(hint) is Annotated:
        return choices(get_args(hint)[0])
    if get_origin(hint) is not Literal:
        return ""
    return f"expected one of {', '.join(json.dumps(choice) for choice in get_args(hint))}"
