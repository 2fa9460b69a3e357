"""Several errors as one text (github.com/hashicorp/go-multierror)."""

from __future__ import annotations

from collections.abc import Sequence


def several(errors: Sequence[str]) -> str:
    """At least one error, each on a line of its own."""
    noun = "error" if len(errors) == 1 else "errors"
    return f"{len(errors)} {noun} occurred:\n" + "".join(f"\t* {error}\n" for error in errors) + "\n"
