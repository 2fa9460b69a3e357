"""`consul-kernel validate`."""

from __future__ import annotations

import sys
from pathlib import Path

from consul_kernel.cli.command import EXIT_FAILURE, EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType


def _run(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("Must specify at least one config file or directory")
    from consul_kernel.config.load import validate_paths

    problems = validate_paths(arguments.positional, arguments.text("config-format"))
    errors = [str(problem) for problem in problems if not problem.is_warning]
    if not errors:
        errors = _part_errors(arguments)
    is_quiet = arguments.is_set("quiet")
    for error in errors:
        print(f"Config validation failed: {error}", file=sys.stderr)
    if not is_quiet:
        for problem in problems:
            if problem.is_warning:
                print(f"Warning: {problem}", file=sys.stderr)
    if errors:
        return EXIT_FAILURE
    if not is_quiet:
        print("Configuration is valid!")
    return EXIT_OK


def _part_errors(arguments: Arguments) -> list[str]:
    """What the plugins say of their blocks: only they know their keys, so they are loaded for it."""
    from consul_kernel.agent.composition import choose
    from consul_kernel.config.load import ConfigErrors, ConfigSource, load_config
    from consul_kernel.contracts.errors import PluginLoadError
    from consul_kernel.plugins import PluginManager

    file_format = arguments.text("config-format")
    try:
        config = load_config([ConfigSource(Path(path), format=file_format) for path in arguments.positional])
        choose(config, PluginManager())
    except (ConfigErrors, PluginLoadError) as error:
        return str(error).splitlines()
    return []


COMMANDS = (
    Command(
        "validate",
        "validate [options] FILE_OR_DIRECTORY…",
        "Checks configuration files",
        _run,
        (
            Flag("config-format", FlagType.TEXT, "Format of all files, hcl or json, whatever their names end in."),
            Flag("quiet", FlagType.BOOL, "Print errors only."),
        ),
        "Reads files and folders as an agent would and reports every error with its file and line.",
    ),
)
