"""docs/reference-cli.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from consul_kernel.cli.reference import render_reference

REFERENCE = Path(__file__).parents[3] / "docs" / "reference-cli.md"


def test_the_reference_agrees_with_the_code() -> None:
    assert REFERENCE.read_text() == render_reference(), (
        "run python -m consul_kernel.cli.reference > docs/reference-cli.md"
    )
