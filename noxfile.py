"""Sessions for developers: `nox` runs lint, types and tests as the continuous integration does."""

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and the rules of who may import whom."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, tests included."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The whole suite; arguments after -- go to pytest."""
    session.install("-e", ".[test]")
    # Beside py-consul, whose module has the same name (tests/clients/consul_libraries.py).
    target = f"{session.virtualenv.location}/python-consul2"
    session.install("--no-deps", "--upgrade", "--target", target, "-r", "tests/clients/python-consul2.txt")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Figures as ratios, in one run; not part of the suite."""
    session.install("-e", ".[test]")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)
