"""The command line: argv → calls."""
