"""The tables of docs/reference-configuration.md, made from the schema.

`python -m consul_kernel.config.reference FILE` puts them between the file's two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .keys import KEY_GROUPS
from .schema import Effect, Key

BEGIN_MARK = "<!-- keys: made by python -m consul_kernel.config.reference -->"
END_MARK = "<!-- end of keys -->"


_HEADING = "| Key | Type | Default | Meaning |\n|---|---|---|---|"
_UNUSED_HEAD = """\
### Without effect

Keys of Consul's that are known, harmless, and without effect yet: a file that has one is taken, with a warning.

<details>
<summary>All {count} of them</summary>
"""


def render_keys() -> str:
    """Every key in Markdown: one table for each group, and those without effect folded away at the end."""
    parts: list[str] = []
    unused: list[Key] = []
    for title, keys in KEY_GROUPS:
        unused.extend(key for key in keys if key.effect is Effect.UNUSED)
        parts += [f"### {title}\n", _HEADING, *(_row(key) for key in keys if key.effect is not Effect.UNUSED), ""]
    rows = [_row(key) for key in sorted(unused, key=lambda key: key.path)]
    return "\n".join([*parts, _UNUSED_HEAD.format(count=len(rows)), _HEADING, *rows, "\n</details>\n"])


def _row(key: Key) -> str:
    return f"| `{key.path}` | {key.type.label} | {_default(key)} | {_meaning(key)} |"


def _default(key: Key) -> str:
    if key.default_note:
        return key.default_note
    if key.default is None or key.default == "":
        return ""
    if isinstance(key.default, bool):
        return "true" if key.default else "false"
    if key.default == ():
        return "[]"
    return f"`{key.default}`"


def _meaning(key: Key) -> str:
    if key.effect is Effect.REFUSED:
        return f"{key.doc} **Refused** unless off: {key.reason} not built yet.".strip()
    return key.doc


def fill(page: str) -> str:
    """The page with its tables made anew. Raises ValueError where a mark is missing."""
    before, begin, rest = page.partition(BEGIN_MARK)
    _, end, after = rest.partition(END_MARK)
    if not begin or not end:
        raise ValueError("the page lacks a mark")
    return f"{before}{BEGIN_MARK}\n\n{render_keys()}\n{END_MARK}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
