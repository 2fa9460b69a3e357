"""Filter expressions of Consul's API (go-bexpr): `Service.Port == 80 and "web" in Service.Tags`.

And the regular expressions in them, for whoever else matches what users and peers write: in time that grows with the
text alone, and not beyond what one answer may keep an agent busy for.
"""

from .evaluate import Filter, compile_filter, create_filter
from .parser import FilterError
from .regexp import Regexp, Work, WorkError
from .regexp_syntax import RegexpError
from .submatch import GroupRegexp

__all__ = [
    "Filter",
    "FilterError",
    "GroupRegexp",
    "Regexp",
    "RegexpError",
    "Work",
    "WorkError",
    "compile_filter",
    "create_filter",
]
