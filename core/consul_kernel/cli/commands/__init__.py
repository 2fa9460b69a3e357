"""One module for each command or small family; each lists its commands in `COMMANDS`."""
