"""What a plugin of each kind promises, one module per kind.

Plugin authors import from here, from `consul_kernel.structs`, `consul_kernel.filters`, `consul_kernel.hookspecs`
and, for their tests, `consul_kernel.testing`; everything else in the package is the kernel's own. Each contract has
a page of numbered clauses in `docs/contracts/` and a conformance kit in `consul_kernel.testing`.
"""
