"""What answers look like: Go's structs, with their field order and their rules for what is left out.

A view is a msgspec Struct whose fields are declared in the order in which Go writes them; `UNSET` is a field
that is left out. Each module has functions that make the views from records.
"""
