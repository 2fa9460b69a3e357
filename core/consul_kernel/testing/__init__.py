"""For plugin authors: conformance kits, fakes and simulations."""
