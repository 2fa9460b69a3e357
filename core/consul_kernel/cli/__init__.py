"""The command line: `consul-kernel <command>`. Client commands speak HTTP and import no part of the server."""
