"""`consul-kernel plugins`."""

from __future__ import annotations

from pathlib import Path

from consul_kernel.cli.columns import format_columns
from consul_kernel.cli.command import EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.contracts.plugin import PluginKind


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    from consul_kernel.plugins import installed_plugins

    selected: set[tuple[str, str]] | None = None
    if arguments.texts("config"):
        from consul_kernel.agent.checks.kinds import check_kind
        from consul_kernel.config.load import ConfigErrors, ConfigSource, load_config

        try:
            config = load_config([ConfigSource(Path(path)) for path in arguments.texts("config")])
        except ConfigErrors as errors:
            return fail(str(errors))
        blocks = (*config.plugins.values(), *config.interfaces, *config.dns_answers)
        selected = {(str(block.kind), block.name) for block in blocks}
        selected |= {(str(PluginKind.CHECK), check_kind(check)) for check in config.all_checks}
    rows = [["Kind", "Name", "Distribution", "Version"]]
    for plugin in installed_plugins():
        row = [str(plugin.kind), plugin.name, plugin.distribution, plugin.version]
        rows.append(row if selected is None else [*row, "yes" if (row[0], row[1]) in selected else "no"])
    if selected is not None:
        rows[0].append("Selected")
    print(format_columns(rows))
    return EXIT_OK


COMMANDS = (
    Command(
        "plugins",
        "plugins [options]",
        "Lists installed plugins",
        _run,
        (Flag("config", FlagType.TEXTS, "A file or folder of configuration; shows which plugins it selects."),),
        "Lists every plugin that an installed distribution offers, by kind. No plugin is imported for that, but "
        "for the kinds of check that a file's definitions name.",
    ),
)
