"""Runs an agent as a process: configuration, log, signals, exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from consul_kernel import __version__
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors
from consul_kernel.contracts.errors import AgentError, ConsulKernelError
from consul_kernel.plugins import PluginManager
from consul_kernel.telemetry.dump import dump_lines

from .agent import Agent
from .garbage import GarbageSearch
from .logs import set_up_logging
from .reload import LoadConfig
from .tags import COMPATIBLE_CONSUL_VERSION

logger = logging.getLogger(__name__)


def run_agent(sources: Sequence[ConfigSource], overrides: Mapping[str, Any]) -> int:
    """Load the configuration, run the agent until it stops, and return the process's exit code."""
    try:
        config = load_config(sources, overrides)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    try:
        set_up_logging(
            config.log_level,
            as_json=config.log_json,
            file=config.log_file,
            rotate_bytes=config.log_rotate_bytes,
            rotate_max_files=config.log_rotate_max_files,
        )
        return _run(config, lambda: load_config(sources, overrides))
    except (ConsulKernelError, ConfigErrors, OSError) as error:
        print(f"==> {error}", file=sys.stderr)
        return 1


BANNER = """\
==> Starting consul-kernel agent...
           Version: {version} (as Consul {compatible})
         Node name: {config.node_name!r}
        Datacenter: {config.datacenter!r}
            Server: {server} (Bootstrap: {bootstrap})

==> Log data will now stream in as it occurs:
"""


def banner(config: AgentConfig) -> str:
    """The first lines of the output, in Consul's form."""
    return BANNER.format(
        version=__version__,
        compatible=COMPATIBLE_CONSUL_VERSION,
        config=config,
        server=str(config.server).lower(),
        bootstrap=str(config.bootstrap).lower(),
    )


def _run(config: AgentConfig, load: LoadConfig) -> int:
    print(banner(config), file=sys.stderr, flush=True)
    for warning in config.warnings:
        logger.warning("%s", warning)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, load))


def _loop_factory() -> Any:
    """uvloop where it runs, else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(config: AgentConfig, load: LoadConfig | None = None) -> int:
    agent = Agent(config, PluginManager(), load=load)
    starting = asyncio.create_task(agent.start(), name="start")
    signals = Signals(agent, config, starting)
    signals.install()
    garbage = GarbageSearch()
    pid_file = Path(config.pid_file) if config.pid_file else None
    try:
        if pid_file is not None:
            pid_file.write_text(f"{os.getpid()}", encoding="utf-8")
        await asyncio.wait([starting])
        garbage.begin()
        if not starting.cancelled():
            starting.result()
            await agent.stopped.wait()
    finally:
        starting.cancel()
        signals.remove()
        garbage.end()
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)
    if agent.failure is not None:
        print(f"==> {agent.failure}", file=sys.stderr)
        return 1
    return 0


class Signals:
    """SIGINT and SIGTERM leave or stop, as the agent file says; a second one ends the process at once.

    An agent that is still starting has nothing to leave: it gives up the start and stops what has started.
    """

    def __init__(self, agent: Agent, config: AgentConfig, starting: asyncio.Task[None]) -> None:
        self._agent = agent
        self._starting = starting
        self._leaves = {
            signal.SIGINT: not config.skip_leave_on_interrupt,
            signal.SIGTERM: config.leave_on_terminate,
        }
        self._caught = False
        self._reload_again = False
        self._ending: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Take the signals over."""
        loop = asyncio.get_running_loop()
        for number in self._leaves:
            loop.add_signal_handler(number, self._received, number)
        loop.add_signal_handler(signal.SIGHUP, self._hangup)
        loop.add_signal_handler(signal.SIGUSR1, self._print_metrics)

    def remove(self) -> None:
        """Give the signals back."""
        loop = asyncio.get_running_loop()
        for number in (*self._leaves, signal.SIGHUP, signal.SIGUSR1):
            loop.remove_signal_handler(number)
        if self._reloading is not None:
            self._reloading.cancel()

    def _received(self, number: signal.Signals) -> None:
        if self._caught:
            logger.warning("second signal, ending at once")
            os._exit(1)
        self._caught = True
        leaves = self._leaves[number] and self._starting.done()
        logger.info("caught %s, %s", number.name, "leaving" if leaves else "stopping")
        if not self._starting.done():
            self._starting.cancel()
        else:
            self._ending = asyncio.create_task(self._agent.leave() if leaves else self._agent.stop())

    def _hangup(self) -> None:
        """Reload; one that is asked for while another is under way is made once that is over, however often asked."""
        if self._reloading is not None and not self._reloading.done():
            self._reload_again = True
            return
        logger.info("caught SIGHUP, reloading the configuration")
        self._reloading = asyncio.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        self._reload_again = True
        await asyncio.wait([self._starting])  # the start has read the files; they may have changed since
        while self._reload_again and not self._caught:
            self._reload_again = False
            try:
                await self._agent.reload()
            except AgentError:
                pass  # the log has it
            except Exception:
                logger.exception("the configuration could not be reloaded")

    def _print_metrics(self) -> None:
        print("\n".join(dump_lines(self._agent.metrics())), file=sys.stderr, flush=True)
