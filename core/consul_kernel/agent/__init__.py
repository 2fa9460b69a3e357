"""The daemon: what an agent is made of, whichever plugins were chosen."""
