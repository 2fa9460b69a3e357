"""`consul-kernel validate`."""

from __future__ import annotations

import sys

from consul_kernel.cli.command import EXIT_FAILURE, EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType


def _run(arguments: Arguments) -> int:
    if not arguments.positional:
        return fail("Must specify at least one config file or directory")
    from consul_kernel.agent.composition import examine, missing_key
    from consul_kernel.config.load import read_paths
    from consul_kernel.plugins import PluginManager

    config, problems = read_paths(arguments.positional, arguments.text("config-format"))
    # Only the plugins know the keys of their blocks, so they are loaded for it.
    chosen, of_parts = examine(config, PluginManager())
    errors = [problem for problem in (*problems, *of_parts) if not problem.is_warning]
    keyless = missing_key(config, chosen)
    if keyless is not None:
        errors.append(keyless)
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
