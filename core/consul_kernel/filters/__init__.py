"""Filter expressions of Consul's API (go-bexpr): `Service.Port == 80 and "web" in Service.Tags`.

And the regular expressions in them, for whoever else matches what users and peers write: in time that grows with the
text alone.
"""

from .evaluate import compile_filter, create_filter
from .parser import FilterError
from .regexp import Regexp
from .regexp_syntax import RegexpError
from .submatch import GroupRegexp

__all__ = ["FilterError", "GroupRegexp", "Regexp", "RegexpError", "compile_filter", "create_filter"]
