"""Docker checks: the exit status of a command that the Docker engine runs in a container."""

from __future__ import annotations

from consul_kernel.contracts.check import REMOTE_CODE, CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import KeyFaultError, PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .captured import Captured
from .docker_engine import DockerEngine, DockerError, docker_host
from .script import STATUSES


class DockerConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check. The engine is that of the agent's `DOCKER_HOST`."""

    docker_container_id: str = ""
    """The container, by id or name."""
    args: list[str] = []
    """The command and its arguments. `script_args` is another word for it."""
    shell: str = ""
    """Taken, and not used: no shell is involved."""

    def __post_init__(self) -> None:
        if self.docker_container_id and not self.args:
            raise KeyFaultError("args", "says which command is run, and is missing")


class DockerCheck:
    """Has the command run, reads what it says, and asks for its exit status."""

    def __init__(self, context: CheckContext, config: DockerConfig) -> None:
        self._container = config.docker_container_id
        self._args = config.args
        self._limit_bytes = context.output_limit_bytes
        self._timeout_s = context.timeout_s
        self._host = docker_host()

    async def probe(self) -> Outcome:
        """Run once."""
        captured = Captured(self._limit_bytes)
        try:
            async with DockerEngine(self._host) as engine:
                execution = await engine.create_exec(self._container, self._args)
                await engine.start_exec(self._container, execution, captured.add)
                code = await engine.inspect_exec(self._container, execution)
        except DockerError as error:
            return Outcome(CheckStatus.CRITICAL, str(error))
        return Outcome(STATUSES.get(code, CheckStatus.CRITICAL), captured.noted())

    def timed_out(self) -> Outcome:
        """The command may go on in its container: the engine has no call that ends it."""
        return Outcome(
            CheckStatus.CRITICAL, f"Timed out ({self._timeout_s:g}s) running check in container {self._container}"
        )


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="docker_container_id",
        api=1,
        create=DockerCheck,
        config_type=DockerConfig,
        capabilities=frozenset({REMOTE_CODE}),
        summary="the exit status of a command in a Docker container",
        type_name="docker",
        default_timeout_s=30.0,
    )
