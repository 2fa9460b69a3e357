"""Filter expressions of Consul's API (go-bexpr): `Service.Port == 80 and "web" in Service.Tags`."""

from .evaluate import compile_filter, create_filter
from .parser import FilterError

__all__ = ["FilterError", "compile_filter", "create_filter"]
