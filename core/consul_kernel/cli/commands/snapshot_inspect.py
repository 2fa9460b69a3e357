"""`consul-kernel snapshot inspect`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from consul_kernel.cli.columns import format_attributes
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.snapshot.archive import ArchiveError
from consul_kernel.snapshot.inspection import Inspection, Usage, inspect_archive

_GAP = 6
_FORMATS = ("pretty", "json")
_UNITS = ("B", "KB", "MB", "GB", "TB")
_RULE = "----"


def _inspect(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("Missing FILE argument")
    if len(arguments.positional) > 1:
        return too_many_arguments(1, arguments)
    output = arguments.text("format")
    if output not in _FORMATS:
        return fail(f"Error outputting enhanced snapshot data: Unknown format: {output}")
    depth = max(0, arguments.number("kvdepth")) if arguments.is_set("kvdetails") else 0
    name = arguments.positional[0]
    try:
        with Path(name).open("rb") as file:
            inspection = inspect_archive(file, key_depth=depth, key_prefix=arguments.text("kvfilter"))
    except OSError as error:
        return fail(f"Error opening snapshot file: {error.strerror}: {name}")
    except ArchiveError as error:
        return fail(f"Error reading snapshot: {error}")
    print(_as_json(inspection) if output == "json" else _as_text(inspection))
    unserved = inspection.unserved()
    if unserved:
        print(f"Kept, but not acted on by consul-kernel: {', '.join(unserved)}", file=sys.stderr)
    return EXIT_OK


def _as_text(inspection: Inspection) -> str:
    meta = inspection.meta
    attributes = (
        (" ID", meta.id),
        (" Size", str(meta.size)),
        (" Index", str(meta.index)),
        (" Term", str(meta.term)),
        (" Version", str(meta.version)),
    )
    parts = [format_attributes(attributes, _GAP), _table("Type", inspection.types(), inspection.size)]
    if inspection.by_prefix:
        parts.append(_table("Key Name", inspection.prefixes(), inspection.keys_size))
    return "\n\n".join(parts)


def _table(heading: str, usages: Sequence[Usage], total: int) -> str:
    rows = [(heading, "Count", "Size"), (_RULE, _RULE, _RULE)]
    rows += [(usage.name, str(usage.count), format_size(usage.size)) for usage in usages]
    rows += [(_RULE, _RULE, _RULE), ("Total", "", format_size(total))]
    widths = [max(len(row[at]) for row in rows) + _GAP for at in range(2)]
    return "\n".join(f" {name.ljust(widths[0])}{count.ljust(widths[1])}{size}" for name, count, size in rows)


def format_size(size: int) -> str:
    """Bytes in the largest unit that gives at least one, with one decimal where it is not zero."""
    if size == 0:
        return "0"
    power = min((size.bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{size / (1 << 10 * power):.1f}".removesuffix(".0") + _UNITS[power]


def _as_json(inspection: Inspection) -> str:
    meta = inspection.meta
    document = {
        "Meta": {
            "ID": meta.id,
            "Size": meta.size,
            "Index": meta.index,
            "Term": meta.term,
            "Version": meta.version,
        },
        "Stats": _usages(inspection.types()),
        "StatsKV": _usages(inspection.prefixes()) or None,
        "TotalSize": inspection.size,
        "TotalSizeKV": inspection.keys_size,
    }
    return json.dumps(document, indent=3, ensure_ascii=False)


def _usages(usages: Sequence[Usage]) -> list[dict[str, str | int]]:
    return [{"Name": usage.name, "Sum": usage.size, "Count": usage.count} for usage in usages]


COMMANDS = (
    Command(
        "snapshot inspect",
        "snapshot inspect [options] FILE",
        "Shows what an archive holds",
        _inspect,
        (
            Flag("kvdetails", FlagType.BOOL, "Show what keys take, by the beginning of their path."),
            Flag("kvdepth", FlagType.INT, "With -kvdetails: how many parts of a path make its beginning.", default=2),
            Flag("kvfilter", FlagType.TEXT, "With -kvdetails: only keys that begin with this."),
            Flag("format", FlagType.TEXT, "pretty or json.", default="pretty"),
        ),
        "Shows what a file that `snapshot save` has written describes and holds: records by type, and how many bytes "
        "they take. No agent is asked.\n\n"
        "Records that consul-kernel would only keep are named on standard error.",
    ),
)
