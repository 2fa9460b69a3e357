"""Which checks an agent takes: all that its plugins make, but from outside none that runs commands without leave."""

from __future__ import annotations

import logging
from collections.abc import Callable

from consul_kernel.contracts.errors import AgentError, RequestError
from consul_kernel.structs.check import CheckDefinition

from .runner import CheckRunner, Report
from .unavailable import UnavailableRunner

logger = logging.getLogger(__name__)

MakeRunner = Callable[[CheckDefinition, Report], CheckRunner]

SCRIPTS_DISABLED = (
    "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
)


def admit(make_runner: MakeRunner, definition: CheckDefinition, report: Report, *, scripts: bool) -> CheckRunner:
    """What carries a check out, not started; `scripts` says whether it may run commands.

    Raises RequestError or AgentError where this agent does not do it.
    """
    runner = make_runner(definition, report)
    if runner.runs_commands and not scripts:
        raise AgentError(SCRIPTS_DISABLED)
    return runner


def admit_again(make_runner: MakeRunner, definition: CheckDefinition, report: Report, *, scripts: bool) -> CheckRunner:
    """As `admit` for a check that was taken in an earlier life; one whose plugin is gone is critical and says so.

    Raises AgentError for one that runs commands and may not any more.
    """
    try:
        runner = make_runner(definition, report)
    except (RequestError, AgentError) as error:
        logger.warning("check %s cannot be carried out any more: %s", definition.id, error)
        return UnavailableRunner(definition, report, str(error))
    if runner.runs_commands and not scripts:
        raise AgentError(SCRIPTS_DISABLED)
    return runner
